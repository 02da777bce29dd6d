"""Our own architectures, made known to the auto classes of transformers.

Once `register` was called, `AutoModelForSequenceClassification.from_pretrained` and
`transformers.pipeline` load a folder with a model of ours like any other.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final

OURS: Final = frozenset({"finetext-concat-pooled", "awd_lstm"})
"""The model types of our own architectures."""


@cache
def register() -> None:
    """Register all of our architectures; a second call does nothing."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    from finetext.encoders import awd_lstm, pooled
    from finetext.encoders.word_tokenizer import WordTokenizer

    AutoConfig.register(pooled.MODEL_TYPE, pooled.ConcatPooledConfig, exist_ok=True)
    AutoModel.register(pooled.ConcatPooledConfig, pooled.ConcatPooledModel, exist_ok=True)
    AutoModelForSequenceClassification.register(
        pooled.ConcatPooledConfig, pooled.ConcatPooledForSequenceClassification, exist_ok=True
    )
    recurrent = awd_lstm.AwdLstmConfig
    AutoConfig.register(recurrent.model_type, recurrent, exist_ok=True)
    AutoModel.register(recurrent, awd_lstm.AwdLstmModel, exist_ok=True)
    AutoModelForCausalLM.register(recurrent, awd_lstm.AwdLstmForCausalLM, exist_ok=True)
    AutoModelForSequenceClassification.register(
        recurrent, awd_lstm.AwdLstmForSequenceClassification, exist_ok=True
    )
    AutoTokenizer.register(recurrent, tokenizer_class=WordTokenizer, exist_ok=True)


def register_for(path: str) -> None:
    """Register our architectures if the folder holds one of them, or is not here to be looked at.

    The modules that define them load slowly, and most encoders are none of ours.
    """
    try:
        config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
        is_ours = config["model_type"] in OURS
    except (OSError, ValueError, KeyError, TypeError):
        is_ours = not Path(path).is_dir()
    if is_ours:
        register()
