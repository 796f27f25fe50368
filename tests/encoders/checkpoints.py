"""Tiny networks of the real architectures, with random weights, as `save_pretrained` writes them."""

import torch

SPEECH = {
    "vocab_size": 32,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
"""The kernels and strides of the convolutions stay those of the base models: 400 samples, every 320."""

SPEECH_KINDS = {
    "wav2vec2": ("Wav2Vec2", {}),  # group norm over time in the first convolution, as in wav2vec2-base
    "wav2vec2-large": (
        "Wav2Vec2",
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    ),
    "hubert": ("Hubert", {}),
    "hubert-large": (
        "Hubert",
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    ),
    "wavlm": ("WavLM", {}),
}

TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}

TEXT_KINDS = {
    "bert": ("Bert", {}),
    "roberta": ("Roberta", {"pad_token_id": 1, "max_position_embeddings": 42}),
    "distilbert": ("DistilBert", {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48}),
    "electra": ("Electra", {"embedding_size": 16}),
}

WORDS = [
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    "well",
    "happy",
    "!",
]


def save_speech(kind, folder):
    """Write a checkpoint of one of SPEECH_KINDS; returns its path."""
    import transformers

    name, changes = SPEECH_KINDS[kind]
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**SPEECH, **changes)
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask="large" in kind).save_pretrained(folder)
    return str(folder)


def save_text(kind, folder):
    """Write a checkpoint of one of TEXT_KINDS; returns its path."""
    import transformers

    name, changes = TEXT_KINDS[kind]
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**{**TEXT, **changes})
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *WORDS]))
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=512)
    tokenizer.save_pretrained(folder)
    return str(folder)
