"""Text and label are found in nine languages, and asked for where several columns qualify."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import pytest
from hostile import table_bytes

from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.data.columns import Chosen, choose_columns
from finetext.data.read import read
from finetext.data.rows import Batch

N = 60
_OPINIONS = {
    "good": ["friendly", "bright", "tasty", "quick", "warm"],
    "bad": ["cold", "noisy", "dirty", "slow", "broken"],
    "mid": ["usual", "plain", "standard", "fair", "average"],
}
_TOPICS = {"food": ["soup", "bread", "fish", "cake"], "travel": ["train", "bus", "ferry", "driver"]}
_CHANCE = random.Random(1)
OPINION = [_CHANCE.choice(list(_OPINIONS)) for _ in range(N)]
TOPIC = [_CHANCE.choice(list(_TOPICS)) for _ in range(N)]
TEXT = [
    f"The {_CHANCE.choice(_TOPICS[topic])} was {_CHANCE.choice(_OPINIONS[opinion])} on day {n}"
    for n, (topic, opinion) in enumerate(zip(TOPIC, OPINION, strict=True))
]
CODER = [_CHANCE.choice(["AK", "MB"]) for _ in range(N)]
NUMBER = list(range(1, N + 1))
STARS = [_CHANCE.randint(1, 5) for _ in range(N)]
SHARE = [round(_CHANCE.random(), 4) for _ in range(N)]
WHEN = [f"2024/05/{1 + n % 28:02} 10:00:{n:02}" for n in range(N)]
OTHER = [f"we came back for the garden and {n} other things" for n in range(N)]
SHORT = [f"{text.split()[1]} {text.split()[3]}" for text in TEXT]
REMARK = [*["please check this one with Anna"] * 6, *[None] * (N - 6)]

PERSON = [f"VP{_CHANCE.randint(1, 8):02}" for _ in range(N)]
GRADE = [_CHANCE.choice(["7a", "7b", "8c"]) for _ in range(N)]
WORD = [
    f"{one}{two}"
    for one in ("soup", "bread", "fish", "cake", "train", "bus", "ferry", "boat")
    for two in ("man", "house", "line", "time", "shop", "yard", "card", "song")
]
WORD = WORD[:N]  # fmt: skip

Columns = dict[str, list[Any]]
CERTAIN: dict[str, tuple[Columns, str, str]] = {
    # Hand-coded sentences, with a column that says who coded them
    "German": ({"ID": NUMBER, "Satz": TEXT, "Kategorie": OPINION, "Kodierer": CODER},
               "Satz", "Kategorie"),
    "German, coder first": ({"Codierer": CODER, "Textstelle": TEXT, "Code": OPINION},
                            "Textstelle", "Code"),
    "German compounds": ({"Kommentartext": TEXT, "Themenkategorie": OPINION, "Kodiert von": CODER,
                          "Datum": WHEN}, "Kommentartext", "Themenkategorie"),
    "French": ({"Identifiant": NUMBER, "Phrase": TEXT, "Catégorie": OPINION, "Codeur": CODER},
               "Phrase", "Catégorie"),
    "Spanish": ({"Nº": NUMBER, "Oración": TEXT, "Etiqueta": OPINION, "Codificador": CODER,
                 "Confianza": SHARE}, "Oración", "Etiqueta"),
    "Italian": ({"frase": TEXT, "etichetta": OPINION, "annotatore": CODER}, "frase", "etichetta"),
    "Portuguese": ({"Comentário": TEXT, "Classificação": OPINION, "Avaliador": CODER},
                   "Comentário", "Classificação"),
    "Dutch": ({"Zin": TEXT, "Onderwerp": TOPIC, "Beoordelaar": CODER, "Tijdstempel": WHEN},
              "Zin", "Onderwerp"),
    "Polish": ({"Lp.": NUMBER, "Wypowiedź": TEXT, "Kategoria": OPINION, "Koder": CODER},
               "Wypowiedź", "Kategoria"),
    "Chinese": ({"编号": NUMBER, "评论内容": TEXT, "情感标签": OPINION, "标注者": CODER},
                "评论内容", "情感标签"),
    "English": ({"sentence": TEXT, "annotator_id": CODER, "annotation": OPINION},
                "sentence", "annotation"),
    "worker ids": ({"HITId": [f"3X{n:05}" for n in NUMBER], "WorkerId": CODER, "Input.text": TEXT,
                    "Answer.label": OPINION}, "Input.text", "Answer.label"),
    "words in a question": ({"Zeitstempel": WHEN, "Welche Kategorie (1-3)?": OPINION,
                             "Ihr Kommentar": TEXT}, "Ihr Kommentar", "Welche Kategorie (1-3)?"),
    # Forms and surveys
    "Google Forms": ({"Timestamp": WHEN, "How satisfied were you with the service?": OPINION,
                      "What could we do better?": TEXT},
                     "What could we do better?", "How satisfied were you with the service?"),
    "Google Forms, two": ({"Feedback from the customer": TEXT, "Department": TOPIC},
                          "Feedback from the customer", "Department"),
    "Qualtrics": ({"StartDate": WHEN, "IPAddress": ["10.0.0.7"] * N, "Duration (in seconds)": STARS,
                   "ResponseId": [f"R_{n}" for n in NUMBER], "Q1": OPINION, "Q2": TEXT},
                  "Q2", "Q1"),
    "LimeSurvey": ({"Antwort-ID": NUMBER, "Datum Abgeschickt": WHEN, "Start-Sprache": ["de"] * N,
                    "Freitext": TEXT, "Kodierung": OPINION}, "Freitext", "Kodierung"),
    # Tools for qualitative data
    "MAXQDA": ({"Color": ["●"] * N, "Comment": REMARK, "Document group": TOPIC,
                "Document name": [f"Interview {n}" for n in NUMBER], "Code": OPINION,
                "Beginning": NUMBER, "Weight score": [0] * N, "Segment": TEXT,
                "Modified by": ["anna"] * N}, "Segment", "Code"),
    "MAXQDA, German": ({"Kommentar": REMARK, "Dokumentgruppe": TOPIC, "Code": OPINION,
                        "Fundstelle": TEXT, "Erstellt von": CODER}, "Fundstelle", "Code"),
    "unknown text name": ({"Comment": REMARK, "Dicho": TEXT, "Código": OPINION},
                          "Dicho", "Código"),
    "ATLAS.ti": ({"ID": NUMBER, "Document": ["D 1"] * N, "Quotation Content": TEXT,
                  "Codes": OPINION, "Created by": CODER}, "Quotation Content", "Codes"),
    # Names that are certain
    "label and codes of participants": ({"text": TEXT, "label": OPINION, "code": PERSON},
                                        "text", "label"),
    "label and what is known of a text": ({"id": NUMBER, "text": TEXT, "label": OPINION,
                                           "lang": TOPIC, "source": TOPIC, "annotator": CODER},
                                          "text", "label"),
    "label and a class that is mostly blank": ({"text": TEXT, "label": OPINION,
                                                "topic": [*TOPIC[:9], *[None] * (N - 9)]},
                                               "text", "label"),
    "label and tags": ({"text": TEXT, "label": OPINION,
                        "tags": [f"{one};{two}" if n % 2 else one for n, (one, two) in
                                 enumerate(zip(TOPIC, OPINION, strict=True))]}, "text", "label"),
    "a label of something": ({"Message": TEXT, "Shift": GRADE, "Priority label": OPINION},
                             "Message", "Priority label"),
    "sentiment of an airline": ({"tweet": TEXT, "airline_sentiment": OPINION, "airline": TOPIC},
                                "tweet", "airline_sentiment"),
    "label and rating": ({"text": TEXT, "label": OPINION, "rating": STARS}, "text", "label"),
    "label and its id": ({"text": TEXT, "label": list(map(list(_OPINIONS).index, OPINION)),
                          "label_text": OPINION}, "text", "label"),
    "text and notes": ({"Text": TEXT, "Notes": OTHER, "Code": OPINION}, "Text", "Code"),
    "a prediction": ({"text": TEXT, "predicted_label": TOPIC, "sentiment": OPINION,
                      "confidence": SHARE}, "text", "sentiment"),
    "what texts are about": ({"tweet": TEXT, "country_code": TOPIC, "stance": OPINION,
                              "author": CODER}, "tweet", "stance"),
    "rating alone": ({"Rezension": TEXT, "Sterne": STARS, "Land": TOPIC}, "Rezension", "Sterne"),
    # Well-known files
    "fine foods": ({"Id": NUMBER, "HelpfulnessNumerator": STARS, "Score": STARS[::-1],
                    "Time": NUMBER, "Summary": SHORT, "Text": TEXT}, "Text", "Score"),
    "airline tweets": ({"tweet_id": NUMBER, "airline_sentiment": OPINION,
                        "airline_sentiment_confidence": SHARE, "airline_sentiment_gold":
                        [*OPINION[:2], *[None] * (N - 2)], "name": CODER, "retweet_count": STARS,
                        "text": TEXT, "user_timezone": TOPIC}, "text", "airline_sentiment"),
    "reviews with counts": ({"stars": STARS, "useful": STARS[::-1], "date": WHEN, "text": TEXT},
                            "text", "stars"),
    "blank columns": ({"v1": TOPIC, "v2": TEXT, "3": [*SHORT[:3], *[None] * (N - 3)],
                       "4": [None] * N}, "v2", "v1"),
    "authors": ({"id": NUMBER, "text": TEXT, "author": TOPIC}, "text", "author"),
    "disaster tweets": ({"id": NUMBER, "keyword": TOPIC, "location": TOPIC, "text": TEXT,
                         "target": [n % 2 for n in NUMBER]}, "text", "target"),
    "Taguette": ({"id": NUMBER, "document": ["a.docx"] * N, "tag": OPINION, "content": TEXT},
                 "content", "tag"),
    "NVivo": ({"Coded Text": TEXT, "Code": OPINION, "File": ["Files\\\\Interview 1"] * N,
               "Coverage": [f"{one:.2%}" for one in SHARE], "Coded By": CODER},
              "Coded Text", "Code"),
    "Dedoose": ({"Excerpt": TEXT, "Code Title": OPINION, "Media Title": ["Interview 2"] * N,
                 "Excerpt Date": ["5/1/2024"] * N}, "Excerpt", "Code Title"),
    "Mechanical Turk": ({"HITId": [f"3A{n:05}" for n in NUMBER], "WorkTimeInSeconds": NUMBER,
                         "WorkerId": CODER, "Input.tweet": TEXT,
                         "Answer.sentiment.label": OPINION}, "Input.tweet",
                        "Answer.sentiment.label"),
    "confidence of the annotator": ({"sentence": TEXT, "is_sarcastic": OPINION,
                                     "annotator_confidence": STARS}, "sentence", "is_sarcastic"),
    "Spanish, reviewed": ({"Nº": NUMBER, "Respuesta": TEXT, "Categoría": OPINION,
                           "Revisado por": CODER}, "Respuesta", "Categoría"),
    "a comment to the left": ({"Anmerkung der Kodiererin": OTHER, "Aussage": TEXT,
                               "Einschätzung": OPINION}, "Aussage", "Einschätzung"),
    "a code that follows from the texts": ({"Aussage": TEXT, "Code": OPINION, "Ton": GRADE},
                                           "Aussage", "Code"),
    "a class beside other numbers": ({"tweet": TEXT, "class": OPINION, "count": STARS},
                                     "tweet", "class"),
    "a case with objects": ({"subject_data": [f'{{"{n}": {{"file": "a long name of it {n}"}}}}'
                                              for n in NUMBER], "Satz": TEXT, "Code": OPINION},
                            "Satz", "Code"),
    "call center": ({"Fallnummer": [f"F-{n:04}" for n in NUMBER], "Anliegen": TEXT,
                     "Abteilung": OPINION, "Status": ["zu", "offen"] * 30},
                    "Anliegen", "Abteilung"),
    # Content
    "no names": ({"v1": OPINION, "v2": TEXT}, "v2", "v1"),
    "predictable": ({"satz": TEXT, "wer": CODER, "was": OPINION}, "satz", "was"),
    "dates are no labels": ({"a": TEXT, "b": [WHEN[0][:10], WHEN[1][:10]] * 30, "c": OPINION},
                            "a", "c"),
}  # fmt: skip
ASKED: dict[str, tuple[Columns, str, tuple[str, ...]]] = {
    "label and category": ({"text": TEXT, "label": OPINION, "category": TOPIC},
                           "--label", ("label", "category")),
    "label and a topic of chance": ({"text": TEXT, "topic": GRADE, "label": OPINION},
                                    "--label", ("label", "topic")),
    "a department and a priority": ({"Message": TEXT, "Department": TOPIC,
                                     "Priority label": OPINION},
                                    "--label", ("Department", "Priority label")),
    "title and body": ({"id": NUMBER, "title": SHORT, "body": TEXT, "category": OPINION},
                       "--text", ("title", "body")),
    "sentence pair": ({"sentence1": TEXT, "sentence2": OTHER, "label": TOPIC},
                      "--text", ("sentence1", "sentence2")),
    "premise and hypothesis": ({"premise": OTHER, "hypothesis": TEXT, "label": TOPIC},
                               "--text", ("premise", "hypothesis")),
    "Frage und Antwort": ({"Frage": OTHER, "Antwort": TEXT, "Kategorie": TOPIC},
                          "--text", ("Frage", "Antwort")),
    "titre et contenu": ({"Titre": OTHER, "Contenu": TEXT, "Thème": TOPIC},
                         "--text", ("Titre", "Contenu")),
    "two open questions": ({"What did you like?": TEXT, "What could we do better?": OTHER,
                            "Department": TOPIC},
                           "--text", ("What did you like?", "What could we do better?")),
    "text twice": ({"text": TEXT, "text (2)": OTHER, "label": TOPIC},
                   "--text", ("text", "text (2)")),
    "raw and cleaned": ({"tweet": TEXT, "clean_tweet": [one.lower() for one in TEXT],
                         "sentiment": OPINION}, "--text", ("tweet", "clean_tweet")),
    "Kategorie und Thema": ({"Satz": TEXT, "Kategorie": OPINION, "Thema": TOPIC},
                            "--label", ("Kategorie", "Thema")),
    "sentimiento y tema": ({"texto": TEXT, "sentimiento": OPINION, "tema": TOPIC},
                           "--label", ("sentimiento", "tema")),
    "sentiment and stars": ({"text": TEXT, "sentiment": OPINION, "stars": STARS},
                            "--label", ("sentiment", "stars")),
    "both predictable": ({"zin": TEXT, "hoe": OPINION, "wat": TOPIC}, "--label", ("hoe", "wat")),
    "labels of two coders": ({"Satz": TEXT, "Kodierer 1": OPINION, "Kodierer 2": [*OPINION[:-1],
                              "mid"]}, "--label", ("Kodierer 1", "Kodierer 2")),
    "codes of participants": ({"Code": PERSON, "Aussage": TEXT, "Ton": OPINION},
                              "--label", ("Ton", "Code")),
    "classes of a school": ({"Klasse": GRADE, "Geschlecht": CODER, "Antwort": TEXT,
                             "Urteil": OPINION}, "--label", ("Urteil", "Klasse")),
    "words and notes about them": ({"Text": WORD, "Bemerkungen": OTHER, "Kategorie": TOPIC},
                                   "--text", ("Text", "Bemerkungen")),
    "two coders by name": ({"Aussage": TEXT, "Kategorie (Lena)": OPINION,
                            "Kategorie (Tom)": [*OPINION[:-1], "mid"]},
                           "--label", ("Kategorie (Lena)", "Kategorie (Tom)")),
    "coarse and fine": ({"text": TEXT, "main_category": TOPIC, "sub_category": OPINION},
                        "--label", ("main_category", "sub_category")),
    "labels by annotator": ({"text": TEXT, "label_annotator1": OPINION, "label_annotator2": TOPIC},
                            "--label", ("label_annotator1", "label_annotator2")),
}  # fmt: skip


def chosen(columns: Columns, **how: Any) -> Chosen:
    return choose_columns(Batch("some.csv", columns, "columns"), ReadSettings(**how))


@pytest.mark.parametrize("case", CERTAIN)
def test_the_only_column_that_qualifies_is_taken(case: str) -> None:
    columns, text, label = CERTAIN[case]
    found = chosen(columns)
    assert (found.text, found.labels) == (text, (label,))
    coded = [
        name
        for name, values in columns.items()
        if values is CODER and name not in ("author", "name")
    ]
    assert ([found.annotator] if coded else []) == coded
    assert chosen(columns, labelled=False).text == text


@pytest.mark.parametrize("case", ASKED)
def test_columns_that_qualify_are_listed(case: str) -> None:
    columns, option, names = ASKED[case]
    with pytest.raises(DataError) as error:
        chosen(columns)
    message = str(error.value)
    assert not isinstance(error.value, UnlabeledError)
    assert f"{len(names)} columns could hold the" in message
    assert f"{option} {names[0]}" in message.replace("'", "")
    lines = message.split("\n")[1 : 1 + len(names)]
    assert [line.split("  ")[1].strip() for line in lines] == list(names)
    for line, name in zip(lines, names, strict=True):
        assert line.count("', '") == min(2, len(set(columns[name])) - 1), line
    found = chosen(columns, **{option[2:]: names[-1]})
    assert names[-1] in (found.text, *found.labels)


def test_an_annotator_is_never_the_label() -> None:
    for name in ("Kodierer", "annotator", "codeur", "beoordelaar", "标注者", "Wer"):
        with pytest.raises(UnlabeledError, match=f"{name!r} says who labeled a text.*--label"):
            chosen({"Satz": TEXT, name: CODER})
    assert chosen({"Satz": TEXT, "Kodierer": CODER}, label="Kodierer").labels == ("Kodierer",)


def test_what_could_be_names_but_follows_from_the_texts_is_a_label() -> None:
    coded = [{"good": "A1", "mid": "B1", "bad": "B2"}[one] for one in OPINION]
    assert chosen({"text": TEXT, "Niveau": coded}).labels == ("Niveau",)


def test_metadata_are_no_labels_by_guess() -> None:
    with pytest.raises(UnlabeledError, match="--label"):
        chosen({"Timestamp": WHEN, "Gender": CODER, "comment": TEXT})
    for asked in ("Which gender do you identify with most?", "How old are you?"):
        with pytest.raises(UnlabeledError, match="--label"):
            chosen({"Timestamp": WHEN, asked: CODER, "What should we improve?": TEXT})
    assert chosen({"text": TEXT, "language": TOPIC}).labels == ("language",)


def test_json_objects_are_no_texts_by_guess() -> None:
    objects = [f'{{"{n}": {{"text": "{text}"}}}}' for n, text in zip(NUMBER, TEXT, strict=True)]
    columns = {"subject_data": objects, "label": OPINION}
    with pytest.raises(DataError, match=r"no column of texts.*subject_data.*--text"):
        chosen(columns)
    assert chosen(columns, text="subject_data").text == "subject_data"


def test_the_classes_of_a_model_decide_between_two_columns() -> None:
    columns = {"Satz": TEXT, "Kategorie": OPINION, "Thema": TOPIC}
    assert chosen(columns, classes=("food", "travel")).labels == ("Thema",)
    columns = {"text": TEXT, "label": OPINION, "category": TOPIC}
    assert chosen(columns, classes=("food", "travel")).labels == ("category",)
    assert chosen(columns, classes=("bad", "good", "mid")).labels == ("label",)
    assert chosen(columns, classes=("other",)).labels == ("label",)
    assert chosen(columns, labelled=False).labels == ("label",)


def test_labels_that_nobody_needs_are_not_asked_for() -> None:
    columns = {"Satz": TEXT, "Kategorie": OPINION, "Thema": TOPIC}
    assert chosen(columns, labelled=False).labels == ()


@pytest.mark.parametrize("value", ["0", "no", "other"])
def test_a_label_column_with_one_class_stays_the_label(value: str) -> None:
    for name in ("label", "Kategorie", "toxisch"):
        columns = {"Satz": TEXT, name: [value] * N, "Land": TOPIC}
        with pytest.raises(UnlabeledError, match=f"{name!r} has one class only, {value!r}"):
            read(columns)
        known = ReadSettings(classes=(value, "x"))
        assert read(columns, settings=known).labels == [value] * N


def test_a_flag_that_is_always_0_is_a_flag() -> None:
    columns = {"text": TEXT, "toxic": [n % 2 for n in NUMBER], "obscene": [0] * N}
    with pytest.raises(DataError, match=r"2 columns of 0 and 1 .* --label toxic,obscene"):
        read(columns)
    data = read(columns, label=("toxic", "obscene"))
    assert data.scheme is not None
    assert data.scheme.multilabel


def test_flags_called_labels_can_all_be_the_labels() -> None:
    flags = {f"Answer.category.{name}": [str(own == name).lower() for own in OPINION]
             for name in ("good", "bad")}  # fmt: skip
    with pytest.raises(DataError, match=r"can have several: --label \S+good,\S+bad"):
        read({"Input.text": TEXT, **flags})
    data = read({"Input.text": TEXT, **flags}, label=tuple(flags))
    assert data.scheme is not None
    assert data.scheme.multilabel


def test_missing_labels_name_their_column() -> None:
    columns = {"Satz": TEXT, "Kategorie": [*OPINION[:-2], None, ""]}
    with pytest.raises(DataError, match="column 'Kategorie': the label is missing in 2 of 60"):
        read(columns)


def test_files_are_read_like_columns(tmp_path: Path) -> None:
    columns, text, label = CERTAIN["MAXQDA"]
    book = tmp_path / "maxqda.xlsx"
    book.write_bytes(table_bytes(".xlsx", {name: [name, *of] for name, of in columns.items()}))
    data = read(book)
    assert (data.texts, data.labels) == (columns[text], columns[label])
    file = io.StringIO()
    csv.writer(file).writerows([CERTAIN["German"][0], *zip(*CERTAIN["German"][0].values(),
                                                           strict=True)])  # fmt: skip
    (tmp_path / "sätze.csv").write_text(file.getvalue(), "utf-8")
    data = read(tmp_path / "sätze.csv")
    assert (data.ids, data.texts, data.labels) == (list(map(str, NUMBER)), TEXT, OPINION)
    assert "annotator 'Kodierer'" in data.description


def test_many_rows_are_chosen_by_a_sample_of_which_periods_are_no_part() -> None:
    size = 5_000
    columns = {
        "satz": [f"{TEXT[n % N]} again {n}" for n in range(size)],
        "x": [OPINION[n % N] for n in range(size)], "nr": list(range(size)),
    }  # fmt: skip
    found = chosen(columns)
    assert (found.text, found.labels) == ("satz", ("x",))
