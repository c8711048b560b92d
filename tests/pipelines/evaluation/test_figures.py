from pipelines.evaluation.figures import Missing, in_words


def test_a_figure_in_words():
    assert in_words(0.12345) == "0.123"
    assert in_words(12.3456, digits=1) == "12.3"
    assert in_words(Missing("give --clip a folder.")) == "not measured: give --clip a folder."
