"""Image tokenizers that others trained -> ours: the same ids, the same pixels."""
