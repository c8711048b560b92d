import pytest
import torch

from pipelines.command_line import UserError, command, command_parser, device_and_dtype


def test_user_error_is_one_sentence_and_exit_code_2(capsys):
    @command
    def main(argv=None):
        raise UserError(f"{argv[0]} is not a checkpoint; give the folder a run wrote.")

    with pytest.raises(SystemExit) as exit_info:
        main(["somewhere"])
    assert exit_info.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: somewhere is not a checkpoint; give the folder a run wrote.\n"


def test_bug_keeps_its_traceback_and_interrupt_is_quiet(capsys):
    @command
    def main(argv=None):
        raise argv[0]

    with pytest.raises(ZeroDivisionError):
        main([ZeroDivisionError()])
    with pytest.raises(SystemExit) as exit_info:
        main([KeyboardInterrupt()])
    assert exit_info.value.code == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "program, package, extra",
    [
        ("train_tokenizer.py", "torchvision.models", "training"),
        ("drawscribe-evaluate-checkpoint", "torchmetrics", "evaluation"),
        ("drawscribe-encode-images", "pyarrow", "training"),
        ("drawscribe-tally-ratings", "matplotlib", "evaluation"),
        ("demo.py", "gradio", "demo"),
    ],
)
def test_a_package_that_is_missing_when_it_is_used_is_a_sentence(
    program, package, extra, monkeypatch, capsys
):
    @command
    def main(argv=None):
        raise ModuleNotFoundError(name=package)

    monkeypatch.setattr("sys.argv", [program])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == (
        f"error: this needs {package.split('.')[0]}, which is not installed; "
        f"pip install 'drawscribe[{extra}]' brings it.\n"
    )


def test_a_missing_module_that_no_extra_brings_is_a_bug():
    @command
    def main(argv=None):
        raise ModuleNotFoundError(name="pipelines.nothing")

    with pytest.raises(ModuleNotFoundError):
        main()


def test_help_shows_the_defaults_that_say_something(monkeypatch):
    monkeypatch.setattr("sys.argv", ["drawscribe-caption-images"])
    parser = command_parser("Does it.")
    parser.add_argument("--seed", type=int, default=0, help="whose")
    parser.add_argument("--column", nargs="*", default=["text", "title"], help="what to read")
    parser.add_argument("--others", nargs="*", default=[], help="of generate_images.py")
    parser.add_argument("--rows", type=int, help="how many")
    parser.add_argument("--quick", action="store_true", help="be quick")
    said = parser.format_help()
    assert "whose (default: 0)" in said and "what to read (default: text title)" in said
    assert said.count("default") == 2
    assert "of drawscribe-generate-images" in said


def test_device_and_dtype():
    best, dtype = device_and_dtype()
    assert dtype == (torch.bfloat16 if best.type == "cuda" else torch.float32)
    assert device_and_dtype("cpu", "bf16") == (torch.device("cpu"), torch.bfloat16)
    with pytest.raises(UserError, match="abacus.*cpu"):
        device_and_dtype("abacus")
    with pytest.raises(UserError, match="int3.*bf16"):
        device_and_dtype("cpu", "int3")
