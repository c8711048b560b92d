"""Two processes learn what one learns on the same global batch."""

from pathlib import Path

import pytest
import torch

# Loaded while a group lives, as by an optimizer, it keeps the group; and a thread of gloo that is
# left can abort the process while the interpreter goes down.
import torch._dynamo
import torch.distributed as dist
import torch.multiprocessing as mp

from gan import adversarial_loss
from vq import (
    VQGAN,
    PatchDiscriminator,
    PatchDiscriminatorConfig,
    VQGANConfig,
    VQGANObjective,
    VQGANObjectiveSettings,
)

STEPS = 10


def all_reduce_sum(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor


def train(rank: int, world_size: int, deal, reduce, loss: str) -> dict:
    """Trains on this process's micro-batches of each step; losses, gradients and codebook."""
    torch.manual_seed(0)
    config = VQGANConfig(
        base_channels=8,
        channel_multipliers=(1, 2),
        residual_blocks=1,
        attention_levels=0,
        normalization="channel",
        latent_channels=8,
        codebook_size=48,
        code_dim=4,
        ema_decay=0.9,
        revive_after_steps=2,
    )
    objective = VQGANObjective(
        VQGAN(config),
        VQGANObjectiveSettings(adversarial_weight=0.5, adversarial_start_step=0),
        PatchDiscriminator(PatchDiscriminatorConfig(base_channels=8, layers=1)),
        None,
        adversarial_loss(loss),
        reduce,
        rank,
        world_size,
    )
    quantizer = objective.tokenizer.quantizer
    # Not Adam: its first steps are the gradients' signs, which blow rounding up until some vector
    # between two codes falls to the other one.
    optimizers = {n: torch.optim.SGD(p.parameters(), 0.02) for n, p in objective.players.items()}
    result: dict = {"losses": [], "gradients": {}, "revived": 0}
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        pixels = torch.rand(6, 3, 16, 16, generator=generator) * 2 - 1
        micro_batches = [{"pixels": pixels[rows]} for rows in deal]
        for name, losses in objective.turns(micro_batches, step):
            player, optimizer = objective.players[name], optimizers[name]
            optimizer.zero_grad()
            total = torch.zeros(())
            for terms in losses:
                terms["loss"].backward()
                total += terms["loss"].detach()
            result["losses"].append(float(reduce(total) / world_size))
            for key, parameter in player.named_parameters():
                parameter.grad = reduce(parameter.grad) / world_size
                if step == 0:  # later ones have come apart by rounding
                    result["gradients"][f"{name}.{key}"] = parameter.grad.clone()
            optimizer.step()
        result["revived"] += int((quantizer.ema_counts == 1).sum())  # what a revived code has
    result["state"] = {n: t.clone() for n, t in quantizer.state_dict().items()}
    return result


# Rows of the global batch, unequal on purpose; the second process has its micro-batches reversed.
DEALS = ([[0, 1], [2]], [[5], [3, 4]])


def worker(rank: int, folder: str, loss: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    torch.save(train(rank, 2, DEALS[rank], all_reduce_sum, loss), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
    threads = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in threads), threads


@pytest.mark.parametrize(
    ("loss", "deal"),
    [
        ("hinge", [[0, 1, 2, 3, 4, 5]]),
        # The pictures of a micro-batch, over both processes, are compared with each other.
        ("dual_contrastive", [[0, 1, 5], [2, 3, 4]]),
    ],
)
def test_two_processes_learn_what_one_does(loss, deal, tmp_path):
    mp.spawn(worker, args=(str(tmp_path), loss), nprocs=2)
    one = train(0, 1, deal, lambda tensor: tensor, loss)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))

    assert one["revived"] > 0
    for name, tensor in first["state"].items():
        assert torch.equal(tensor, second["state"][name]), name  # bit for bit
        assert torch.allclose(tensor.float(), one["state"][name].float(), atol=1e-5), name
    assert torch.allclose(torch.tensor(first["losses"]), torch.tensor(one["losses"]), rtol=1e-4)
    for name, gradient in one["gradients"].items():
        # That of the last bias is 0 where only differences of logits count.
        far = 2e-5 * gradient.norm() + 5e-6
        assert (first["gradients"][name] - gradient).norm() <= far, name
