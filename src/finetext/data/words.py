"""The names that columns of text, labels, ids and splits usually have; numbers with nouns."""

from __future__ import annotations

import re
from typing import Final

TEXT_NAMES: Final = (
    *("text", "texts", "sentence", "sentences", "review", "reviews", "content", "tweet"),
    *("message", "comment", "comment_text", "review_text", "tweet_text", "full_text"),
    *("clean_text", "text_clean", "raw_text", "body", "utterance", "question", "query"),
    *("document", "post", "article", "sms", "snippet", "phrase", "statement", "description"),
    *("abstract", "answer", "response", "verbatim", "paragraph", "passage", "excerpt"),
    *("headline", "title", "summary", "input", "news"),
)
LABEL_NAMES: Final = (
    *("label", "labels", "label_name", "label_text", "category", "categories", "class"),
    *("classes", "class_name", "sentiment", "intent", "target", "topic", "topics", "emotion"),
    *("emotions", "stance", "polarity", "tag", "tags", "code", "codes", "label_id", "class_id"),
    *("label_index", "classification", "annotation", "gold", "y", "rating", "stars", "score"),
)
ID_NAMES: Final = (
    *("id", "ids", "row_id", "text_id", "doc_id", "document_id", "example_id", "sentence_id"),
    *("comment_id", "tweet_id", "review_id", "message_id", "item_id", "guid", "uid", "uuid"),
    *("idx", "index"),
)
SPLIT_NAMES: Final = ("split", "partition", "subset")
KNOWN_NAMES: Final = frozenset(TEXT_NAMES + LABEL_NAMES + ID_NAMES + SPLIT_NAMES)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 row", "1,200 rows"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def plain_name(name: str) -> str:
    """A column name in lower case, words joined by underscores: "Comment Text" -> comment_text."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", spaced).lower()
