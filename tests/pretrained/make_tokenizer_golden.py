"""Writes golden/spiece.model and golden/tokenizers.json: what transformers makes.

python -m tests.pretrained.make_tokenizer_golden   (needs it and sentencepiece)
"""

import io
import json
import os
import tempfile
from pathlib import Path

import sentencepiece
import transformers

from tests.pretrained.tokenizer_folders import (
    GOLDEN,
    LENGTH,
    PHONEMES,
    SENTENCES,
    SPIECE,
    TEXTS,
    VITS,
    folders,
    write,
)

# The published T5's table of characters has 200 KB; this one has the same form.
RULES = {"ﬁ": "fi", "½": "1/2", "e\u0301": "é", "\u00a0": " ", "\t": " ", "\n": " "}


def codes(text):
    return " ".join(f"{ord(character):X}" for character in text)


def spiece():
    """T5's kind of model; it keeps the name of the rules, so there is no path in it."""
    rules = Path("rules.tsv")
    lines = ["\t".join(map(codes, rule)) for rule in RULES.items()]
    rules.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=model,
        vocab_size=90,
        model_type="unigram",
        normalization_rule_tsv=str(rules),
        hard_vocab_limit=False,
        num_threads=1,
        bos_id=-1,
        **{"pad_id": 0, "eos_id": 1, "unk_id": 2},
        **{"pad_piece": "<pad>", "eos_piece": "</s>", "unk_piece": "<unk>"},
    )
    return model.getvalue()


def ids(make, folder, texts):
    options = {"padding": "max_length", "truncation": True, "max_length": LENGTH}
    return make.from_pretrained(folder)(list(texts), **options)["input_ids"]


def main():
    golden = {}
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        SPIECE.write_bytes(spiece())
        folder = write(Path("t5"), spiece__model=SPIECE.read_bytes())
        golden["t5"] = ids(transformers.T5Tokenizer, folder, TEXTS)
        for kind, make in {
            "roberta": transformers.RobertaTokenizer,
            "clip": transformers.CLIPTokenizer,
        }.items():
            for layout, files in folders(kind).items():
                folder = write(Path(kind, layout), **files)
                golden[f"{kind}/{layout}"] = ids(make, folder, TEXTS)
        for i, files in enumerate(VITS):
            folder = write(Path("vits", str(i)), **files)
            make = transformers.VitsTokenizer
            golden[f"vits/{i}"] = ids(make, folder, PHONEMES)
    lines = [f"{json.dumps(n)}: {json.dumps(rows)}" for n, rows in golden.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
