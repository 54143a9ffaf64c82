import errno
import importlib
import os
import re
import subprocess
import sys
import types

import pytest

from diffusion_audio.cli.main import VERBS, main
from diffusion_audio.errors import UserError
from diffusion_audio.training.interruption import Interrupted


@pytest.fixture
def verb(monkeypatch):
    """Puts a verb of ours in the place of ``doctor``; gives what to set it with."""

    def install(function):
        module = types.ModuleType("diffusion_audio.cli.doctor")
        module.main = function
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return install


def raising(error):
    def function(argv):
        raise error

    return function


def chained():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "step_7/weights")
        except OSError as error:
            raise RuntimeError("the writer thread failed") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("steps must be\n1 or more"), 2, "steps must be 1 or more"),
        (FileNotFoundError(2, "No such file", "a.wav"), 2, "a.wav: No such file"),
        (KeyboardInterrupt(), 130, "interrupted by SIGINT"),
        (Interrupted("step 7 is saved", 15), 143, "step 7 is saved"),
        (OSError(errno.ENOSPC, "No space left"), 1, "the disk is full: .*"),
        (chained(), 1, "the disk is full: the writer thread failed"),
        (
            ValueError("RESOURCE_EXHAUSTED: write: No space left on device"),
            1,
            "the disk is full: RESOURCE_EXHAUSTED.*",
        ),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
            1,
            "out of memory: RESOURCE.*config.data.batch_size.*accumulate.*bfloat16.*",
        ),
        (MemoryError(), 1, "out of memory: .*--batch_size.*"),
        (ZeroDivisionError("by zero"), 1, r"failed with ZeroDivisionError: by zero .*"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_one_line_and_an_exit_code(verb, capsys, error, code, line):
    verb(raising(error))
    assert main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"diffusion-audio: {line}\n", err)


def test_the_traceback_of_a_failure_is_kept_in_a_file(verb, capsys):
    verb(raising(ZeroDivisionError("by zero")))
    main(["doctor"])
    path = re.search(r"traceback in (\S+)\)", capsys.readouterr().err)[1]
    with open(path, encoding="utf-8") as file:
        assert "in function" in file.read()
    os.remove(path)


def test_debug_shows_the_traceback(verb, capsys):
    verb(raising(UserError("a mistake")))
    assert main(["doctor", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("diffusion-audio: a mistake\n")


def test_debug_after_two_dashes_is_a_word_of_the_verb(verb):
    seen = []
    verb(lambda argv: seen.extend(argv) or 0)
    assert main(["doctor", "--", "--debug"]) == 0
    assert seen == ["--", "--debug"]


def test_the_exit_code_of_a_verb_is_passed_on(verb):
    verb(lambda argv: 1)
    assert main(["doctor"]) == 1


def test_no_verb_shows_the_verbs_and_is_a_mistake(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(name in err for name in VERBS)


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(f"  {name} " in out for name in VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_a_help(name, capsys):
    assert main([name, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    module = importlib.import_module(f"diffusion_audio.cli.{name}")
    assert out.startswith(f"usage: diffusion-audio {name}")
    assert module.__doc__.strip() in out
    assert max(map(len, out.splitlines())) <= 88


def test_a_misspelt_verb_names_the_nearest(capsys):
    assert main(["trian"]) == 2
    assert "unknown verb 'trian'; did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["doctor", "now"], "unexpected word 'now'; usage: diffusion-audio doctor"),
        (["doctor", "--nwo"], "Unknown command line flag 'nwo'"),
        (["train", "--wrokdir=x"], "Unknown command line flag 'wrokdir'. Did you mean"),
        (["train"], "--config, --workdir must be given; usage: "),
    ],
)
def test_a_wrong_word_is_one_line(argv, line, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"diffusion-audio: {line}")
    assert err.count("\n") == 1


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, **options
    )


def test_help_may_follow_a_whole_command(capsys):
    words = ["train", "--config=configs/vae.py:tones", "--config.train.steps=1"]
    assert main([*words, "--workdir=a", "--help"]) == 0
    assert "usage:" in capsys.readouterr().out


def test_help_and_mistakes_wait_for_nothing_heavy():
    done = python(
        "import sys; from diffusion_audio.cli.main import VERBS, main\n"
        "codes = [main([name, word]) for name in VERBS for word in ('--help', '--x')]\n"
        "assert codes == [0, 2] * len(VERBS), codes\n"
        "heavy = {'jax', 'matplotlib', 'tensorflow_datasets', 'librosa', 'grain'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


def test_messages_of_the_library_pass_and_chatter_of_others_does_not():
    done = python(
        "import logging, types\n"
        "from absl import logging as absl_logging\n"
        "import diffusion_audio.cli.main as command\n"
        "command._log_to_stderr()\n"
        "exec(compile('absl_logging.info(\"ours\")', command.__file__, 'exec'))\n"
        "absl_logging.info('chatter')\n"
        "logging.getLogger('other').info('chatter')\n"
        "logging.getLogger('other').warning('their warning')\n"
    )
    assert done.stderr == "ours\ntheir warning\n"


def test_a_reader_that_has_gone_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "diffusion_audio", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
