"""What studies of many training runs share."""
