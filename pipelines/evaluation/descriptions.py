"""What figures are called where people read them."""

from collections.abc import Mapping

from pipelines.evaluation.figures import Figure, Missing, in_words

GROUPS = {
    "tokenizer": "The tokenizer's reconstructions",
    "text_to_image": "Text → image",
    "image_generation": "Noise → image",
    "image_to_text": "Image → text",
    "question_answering": "Questions",
    "likelihood": "Likelihood",
    "scenes_drawn": "Scenes drawn, by the exact reader",
    "scenes_described": "Scenes described, by the exact reader",
    "scene_sets": "Scenes by their number of objects, every attribute right",
    "answers": "Answers about scenes, exact",
    "answers_to_another_picture": "The same, when shown another scene",
    "commonest_answers": "The commonest answer of training to each question",
    "questions_asked": "Questions asked",
    "answers_held_out": "Answers about held-out colour-shape pairs, exact",
}
FIGURES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "reconstruction_fid": "FID of reconstructions",
    "codes_used": "codes in use",
    "share_used": "share of the codebook in use",
    "perplexity": "perplexity of the codes",
    "fid": "FID",
    "inception_score": "Inception Score",
    "inception_score_deviation": "its standard deviation over splits",
    "clip_score": "CLIP score",
    "r_precision": "R-precision, by CLIP",
    "r_precision_candidates": "among so many captions",
    "dual_encoder_score": "100 × cosine, by the dual encoder",
    "dual_encoder_r_precision": "R-precision, by the dual encoder",
    "dual_encoder_r_precision_candidates": "among so many captions",
    "soa_c": "SOA-C",
    "soa_i": "SOA-I",
    "top_1_accuracy": "top-1 accuracy, by the classifier",
    "mean_average_precision": "mAP, by the classifier",
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "equal_to_a_given_one": "captions that equal a given one",
    "tokenizer": "words by",
    "captions": "captions",
    "exact": "exact",
    "bits_per_image_id": "bits per image id, given the caption",
    "perplexity_per_caption_token": "perplexity per caption token, given the picture",
    "caption_found": "own caption likelier than all others, text → image",
    "picture_found": "own picture likelier than all others, image → text",
    "found_among": "among so many",
    "all": "all questions",
    "reconstruction_accuracy": "the tokenizer's reconstructions read right",
    "one_object_accuracy": "one object drawn",
    "two_object_accuracy": "two objects with their relation drawn",
    "two_object_accuracy_best_of_8": "the same, best of 8 by its own captions",
    "one_object_caption_accuracy": "one object described",
    "two_object_caption_accuracy": "two objects with their relation described",
    "held_out_pair_accuracy": "held-out colour-shape pairs drawn",
    "held_out_pair_caption_accuracy": "held-out colour-shape pairs described",
}


def rows_of(figures: Mapping[str, Figure | int | str]) -> list[tuple[str, str]]:
    """What a person reads: a description and the figure; of missing ones only that they are."""
    return [(called(name), say(value)) for name, value in figures.items()]


def called(name: str) -> str:
    return FIGURES.get(name, name.replace("_", " "))


def say(value: Figure | int | str) -> str:
    if isinstance(value, Missing):
        return "missing"
    return in_words(value) if isinstance(value, float) else str(value)
