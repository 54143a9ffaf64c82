"""Tokenizers of the published kinds, trained on a few sentences."""

import functools

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SENTENCES = (
    *("a dog barks loudly in the rain", "birds sing while water flows by"),
    *("a man speaks slowly, then laughs", "techno music with a strong beat"),
)


@functools.cache
def roberta():
    """Byte-level BPE with RoBERTa's special tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(tokenizer, trainers.BpeTrainer, 300, special, initial_alphabet=alphabet)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer.to_str()


@functools.cache
def t5():
    """Unigram pieces with T5's special tokens."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    _train(tokenizer, trainers.UnigramTrainer, 120, special, unk_token="<unk>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], special_tokens=[("</s>", 1)]
    )
    return tokenizer.to_str()


@functools.cache
def clip():
    """CLIP's lower-cased BPE, whose words end in ``</w>``."""
    ends = ["<|startoftext|>", "<|endoftext|>"]
    model = models.BPE(
        unk_token=ends[1], end_of_word_suffix="</w>", continuing_subword_prefix=""
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(" +", " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(
        tokenizer,
        trainers.BpeTrainer,
        400,
        ends,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
    )
    first, last = (tokenizer.token_to_id(end) for end in ends)
    tokenizer.post_processor = processors.RobertaProcessing(
        (ends[1], last), (ends[0], first), add_prefix_space=False, trim_offsets=False
    )
    return tokenizer.to_str()


def _train(tokenizer, trainer, size, special, **options):
    options = {"vocab_size": size, "special_tokens": special, **options}
    tokenizer.train_from_iterator(
        SENTENCES * 4, trainer(show_progress=False, **options)
    )
