"""What a pipeline has of the hub: `push_to_hub`."""

from pipelines.command_line import UserError
from pipelines.training.checkpoint import CheckpointPaths


class Pushable:
    """A pipeline that knows the checkpoint it was loaded from."""

    checkpoint: CheckpointPaths | None = None

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        license: str | None = None,
        commit_message: str | None = None,
        token: str | None = None,
    ) -> str:
        """Pushes the checkpoint as it lies in its folder, with a model card written from its run:
        what was changed in memory (another number format, say) is not in it.

        Args:
            repo_id: `owner/name`; made if need be.
            private: whether a new one is; None leaves it to the hub's settings.
            license: of the weights, as the hub abbreviates it, such as `apache-2.0`.
            token: None takes the one that `hf auth login` or HF_TOKEN gave.

        Returns:
            The address of the commit.

        Raises:
            UserError: it was loaded from no folder, there is no network, or no right to do it.
        """
        from pipelines.hub.pushing import collect, push  # drawing needs none of it

        if self.checkpoint is None:
            raise UserError(
                "this pipeline was put together in memory; push one that from_pretrained loaded."
            )
        files = collect(self.checkpoint.root, repo_id, license)
        return push(files, repo_id, private, commit_message, token).url
