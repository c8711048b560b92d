"""What a one-stage GAN is trained for, as turns of its two players."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from gan.adversarial_losses import (
    adversarial_loss,
    attribute_discriminator_loss,
    attribute_generator_loss,
    matching_aware,
)
from gan.contrastive_losses import info_nce
from gan.contrasts import Contrasts
from gan.discriminators import Discriminator, ImageFeatures
from gan.generators import Generator
from gan.noise import noise_of_a_step
from gan.regularization import gradient_penalty
from gan.settings import GANObjectiveSettings
from gan.terms import (
    AllProcesses,
    Batch,
    Seen,
    Terms,
    Turn,
    detached,
    row_numbers,
    untouched,
    weighed,
    wrong_partners,
)
from gan.text_encoders import TextEncoder, interpolated


class GANObjective:
    """Turns of a discriminator and a generator, whose terms `GANObjectiveSettings` weighs.

    Contrasts compare the pictures of all processes; statistics of batch normalization, and which
    texts are wrong for a picture or interpolated with each other, are each process's own. Noise
    belongs to a picture's place in the global batch.

    Args:
        text_encoder: None without text. Where it learns (its parameters are the discriminator's
            player's), it does so in the discriminator's turns.
        frozen: pixels [b, 3, H, W] in [-1, 1] -> [b, d]; needed for `frozen_real_fake_weight`.
        processes: of the global batch.
        seed: of the noise.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        settings: GANObjectiveSettings,
        processes: AllProcesses,
        text_encoder: TextEncoder | None = None,
        frozen: Callable[[Tensor], Tensor] | None = None,
        train_text_encoder: bool = False,
        seed: int = 0,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.settings, self.processes, self.seed = settings, processes, seed
        self.text_encoder, self.frozen = text_encoder, frozen
        self.train_text_encoder = train_text_encoder
        learning: nn.Module = discriminator
        if train_text_encoder:
            assert isinstance(text_encoder, nn.Module)
            parts = {"discriminator": discriminator, "text_encoder": text_encoder}
            learning = nn.ModuleDict(parts)
        self.players: dict[str, nn.Module] = {"generator": generator, "discriminator": learning}
        self.loss = adversarial_loss(settings.adversarial, settings.generator_side)
        self.contrasts = Contrasts(settings, processes)

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]:
        """The discriminator's turns, one on each batch (and another for the gradient penalty), then
        the generator's on the last one."""
        for number, batch in enumerate(micro_batches):
            seen = self.seen(batch, learning=self.train_text_encoder)
            yield "discriminator", self._discriminator_losses(seen, step, number)
            if self._is_penalized(step):
                yield "discriminator", self._penalty(seen)
        if self.train_text_encoder:  # it has learned meanwhile
            seen = self.seen(micro_batches[-1])
        yield "generator", self._generator_losses(seen, step, len(micro_batches))

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (sum, count): logits of real and drawn pictures, and of wrong pairs. A single
        picture, which batch normalization cannot take, has none."""
        seen = self.seen(batch)
        if len(seen.pixels) == 1:
            return {}
        noise = self.noise(len(seen.pixels), 0, 0)
        fake = self.generator(noise, seen.texts, seen.attributes)
        features = self.discriminator.features(seen.pixels)
        figures = {
            "real_logit": self.discriminator.logits(features, seen.texts),
            "fake_logit": self.discriminator(fake, seen.texts),
        }
        if seen.groups is not None:
            wrong, there = self._wrong_logits(features, seen)
            figures["wrong_logit"] = wrong[there]
        return {name: (v.sum(), torch.tensor(float(len(v)))) for name, v in figures.items()}

    def validation_loss(self, means: dict[str, float]) -> float:
        """Minus how real its pictures look to the discriminator, which says little."""
        return -means["fake_logit"]

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: all state is in the players."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Counterpart of `state_dict`."""

    def seen(self, batch: Batch, learning: bool = False) -> Seen:
        """A batch with its texts encoded."""
        if self.text_encoder is None:
            return Seen(batch["pixels"], None, None, None)
        with nullcontext() if learning else torch.no_grad():
            texts = self.text_encoder(batch["text_ids"], batch["text_length"])
        groups = row_numbers(batch["text_ids"], batch["text_length"])
        return Seen(batch["pixels"], texts, groups, batch.get("attributes"))

    def noise(self, count: int, step: int, number: int) -> Tensor:
        """This process's part of the noise of a step's pass by its number."""
        key = (self.seed, step, number)
        return noise_of_a_step(self.generator, count, self.processes, key)

    def _discriminator_losses(
        self, seen: Seen, step: int, number: int
    ) -> Iterator[dict[str, Tensor]]:
        with torch.no_grad():
            noise = self.noise(len(seen.pixels), step, number)
            fake = self.generator(noise, detached(seen.texts), seen.attributes)
        torch.clear_autocast_cache()  # weights were cast without a graph
        judge, settings = self.discriminator, self.settings
        real_features, fake_features = judge.features(seen.pixels), judge.features(fake)
        real = judge.logits(real_features, seen.texts)
        fooled = judge.logits(fake_features, seen.texts)
        terms: Terms = {"real_logit": (0.0, real), "fake_logit": (0.0, fooled)}
        if settings.wrong_pairs_weight > 0:
            wrong, there = self._wrong_logits(real_features, seen)
            terms["wrong_logit"] = (0.0, wrong)
            compared = [self._compared(one) for one in (real, fooled, wrong.where(there, fooled))]
            loss = matching_aware(self.loss, compared, settings.wrong_pairs_weight)
        else:
            loss = self.loss.discriminator(self._compared(real), self._compared(fooled))
        terms["adversarial"] = (1.0, loss)
        terms |= self._contrasts(real_features, seen, learning_memory=False)
        if settings.attribute_weight > 0:
            assert seen.attributes is not None
            of_real = judge.attribute_logits(real_features, seen.texts)
            of_fake = judge.attribute_logits(fake_features, seen.texts)
            told = attribute_discriminator_loss(of_real, of_fake, seen.attributes)
            terms["attributes"] = (settings.attribute_weight, told)
        yield weighed(terms)

    def _is_penalized(self, step: int) -> bool:
        settings = self.settings
        due = step % settings.gradient_penalty_interval == 0
        return settings.gradient_penalty_weight > 0 and due

    def _penalty(self, seen: Seen) -> Iterator[dict[str, Tensor]]:
        settings = self.settings
        weight = settings.gradient_penalty_weight * settings.gradient_penalty_interval
        pixels, texts, power = seen.pixels.detach().requires_grad_(), detached(seen.texts), 2.0
        inputs = [pixels]
        if settings.gradient_penalty == "matching_aware":
            power = 6.0
            if texts is not None:
                sentence = self.discriminator.as_taken(texts.sentence).detach().requires_grad_()
                texts = replace(texts, sentence=sentence)
                inputs.append(sentence)
        logits = self.discriminator(pixels, texts)
        penalty = gradient_penalty(logits, inputs, weight, power)
        yield weighed({"gradient_penalty": (1.0, penalty)})

    def _generator_losses(self, seen: Seen, step: int, number: int) -> Iterator[dict[str, Tensor]]:
        with untouched(self.discriminator):
            terms = self._generator_terms(seen, step, number)
        yield weighed(terms)

    def _generator_terms(self, seen: Seen, step: int, number: int) -> Terms:
        settings, judge = self.settings, self.discriminator
        real_features = real = None
        if self.loss.compares or settings.real_fake_weight > 0:
            with torch.no_grad():
                real_features = judge.features(seen.pixels)
                if self.loss.compares:
                    real = self._compared(judge.logits(real_features, seen.texts))
            torch.clear_autocast_cache()
        noise = self.noise(len(seen.pixels), step, number)
        fake = self.generator(noise, seen.texts, seen.attributes)
        features = judge.features(fake)
        fooled = judge.logits(features, seen.texts)
        loss = self.loss.generator(self._compared(fooled), real)
        terms: Terms = {"adversarial": (1.0, loss)}
        if settings.interpolation_weight > 0:
            terms = self._with_interpolated(loss, real, seen, step, number + 1)
        terms |= self._contrasts(features, seen, learning_memory=True)
        if settings.attribute_weight > 0:
            assert seen.attributes is not None
            told = judge.attribute_logits(features, seen.texts)
            told = attribute_generator_loss(told, seen.attributes)
            terms["attributes"] = (settings.attribute_weight, told)
        if real_features is not None and settings.real_fake_weight > 0:
            goal = judge.image_vectors(real_features)
            terms |= self.contrasts.real_fake(judge.image_vectors(features), goal, seen.groups)
        if settings.frozen_real_fake_weight > 0:
            assert self.frozen is not None
            with torch.no_grad():
                goal = self.frozen(seen.pixels)
            logits = self.contrasts.pairs(self.frozen(fake), goal, seen.groups)
            terms["frozen_real_fake"] = (settings.frozen_real_fake_weight, info_nce(logits))
        return terms

    def _with_interpolated(
        self, loss: Tensor, real: Tensor | None, seen: Seen, step: int, number: int
    ) -> Terms:
        """The adversarial loss, and that of half as many pictures of interpolated texts: a mean
        over all of them."""
        assert seen.texts is not None
        weight, texts = self.settings.interpolation_weight, interpolated(seen.texts)
        half, attributes = len(texts.sentence), seen.attributes
        if attributes is not None:
            attributes = (attributes[:half] + attributes[half : 2 * half]) / 2
        fake = self.generator(self.noise(half, step, number), texts, attributes)
        logits = self._compared(self.discriminator(fake, texts))
        between = self.loss.generator(logits, None if real is None else real[: len(logits)])
        total = len(loss) + weight * len(between)
        return {
            "adversarial": (len(loss) / total, loss),
            "interpolated": (weight * len(between) / total, between),
        }

    def _contrasts(self, features: ImageFeatures, seen: Seen, learning_memory: bool) -> Terms:
        """What real pictures teach the discriminator, and it the fakes of the generator."""
        settings, judge, texts = self.settings, self.discriminator, seen.texts
        if settings.sentence_weight > 0:
            assert texts is not None
            texts = replace(texts, sentence=judge.sentence_vectors(texts))
        terms = self.contrasts.of_pictures(judge.vectors(features), texts, seen.groups)
        if settings.attribute_contrast_weight > 0:
            assert seen.attributes is not None and seen.groups is not None
            memory = self.generator.remembered(seen.attributes)
            memory = memory if learning_memory else memory.detach()
            # Texts of the same attributes are one to the memory, whatever else they say.
            all_of_them = torch.full_like(seen.groups, seen.attributes.shape[1])
            alike = row_numbers(seen.attributes.long(), all_of_them)
            logits = self.contrasts.pairs(judge.image_vectors(features), memory, alike)
            terms["attribute_contrast"] = (settings.attribute_contrast_weight, info_nce(logits))
        return terms

    def _wrong_logits(self, features: ImageFeatures, seen: Seen) -> tuple[Tensor, Tensor]:
        """Of each text beside a picture of another [b], and where there is one [b]."""
        assert seen.groups is not None
        partner, there = wrong_partners(seen.groups)
        return self.discriminator.logits(features.of(partner), seen.texts), there

    def _compared(self, logits: Tensor) -> Tensor:
        """Those of all processes, where the loss compares pictures."""
        return self.processes.with_gradients(logits) if self.loss.compares else logits
