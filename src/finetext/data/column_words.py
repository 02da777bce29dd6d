"""What the name of a column says in nine languages: text, label, id, annotator, split or neither.

Accents and case do not count, and words are found inside longer names: "Kategorie (1-5)",
"commentText", "Satz-ID". German and Dutch compounds are found by their last part, and Chinese words
anywhere in a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal

from finetext.core.types import SplitName

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

Role = Literal["text", "label", "id", "annotator", "metadata", "about"]
"""`metadata` is never text or label by guess; `about` describes who or what a text is from."""
LITERAL: Final = 4
NOUN: Final = 3
RATING: Final = 2
WEAK: Final = 1
_LONGEST_NAME: Final = 4
"""Words of a name; a longer one is a question, in which single words say little."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TEXT_ITSELF: Final = _words(
    "text texts texte textes texto textos testo testi tekst teksten teksty 文本"
)
_TEXT: Final = _TEXT_ITSELF | _words(
    # English
    "sentence sentences review reviews content contents tweet tweets message messages comment "
    "comments body utterance utterances question questions query queries document documents post "
    "posts article articles sms snippet snippets phrase phrases statement statements abstract "
    "abstracts answer answers response responses verbatim verbatims paragraph paragraphs passage "
    "passages excerpt excerpts input news segment segments quote quotes quotation feedback opinion "
    "opinions transcript transcripts caption complaint complaints narrative story speech claim "
    "claims prompt premise hypothesis context reply replies description descriptions summary "
    "headline headlines title titles subject selftext sentence "
    # German
    "satz satze aussage aussagen ausserung ausserungen kommentar kommentare rezension rezensionen "
    "beitrag beitrage nachricht nachrichten inhalt inhalte dokument artikel absatz abschnitt zitat "
    "frage antwort antworten anfrage beschreibung titel uberschrift zusammenfassung meinung "
    "ruckmeldung freitext textstelle fundstelle wortlaut transkript beschwerde bewertung "
    # French
    "avis commentaire commentaires contenu enonce enonces reponse reponses extrait extraits "
    "citation citations critique critiques paragraphe titre resume temoignage propos verbatims "
    # Spanish, Portuguese
    "frase frases oracion oraciones comentario comentarios contenido mensaje mensajes resena "
    "resenas opiniones respuesta respuestas pregunta cita fragmento parrafo titulo resumen "
    "descripcion titular enunciado noticia noticias sentenca oracao conteudo mensagem mensagens "
    "avaliacao resposta respostas pergunta citacao trecho paragrafo "
    "resumo descricao opiniao relato "
    # Italian
    "frasi commento commenti contenuto messaggio messaggi recensione recensioni risposta risposte "
    "domanda citazione brano titolo riassunto descrizione opinione enunciato notizia parere "
    # Dutch
    "zin zinnen opmerking opmerkingen reactie reacties bericht berichten inhoud recensie recensies "
    "antwoord antwoorden vraag citaat alinea samenvatting beschrijving mening uitspraak fragment "
    "toelichting "
    # Polish
    "zdanie zdania komentarz komentarze tresc wiadomosc wiadomosci recenzja recenzje opinia opinie "
    "odpowiedz odpowiedzi pytanie cytat akapit tytul opis wypowiedz wypowiedzi streszczenie "
    # Chinese
    "句子 内容 评论 留言 消息 正文 回答 问题 标题 摘要 描述 意见 反馈 短信 微博 语句"
)  # fmt: skip
_REMARK: Final = _words(
    "remark remarks note notes memo memos bemerkung bemerkungen "
    "anmerkung anmerkungen notiz notizen "
    "remarque remarques observacion observaciones observacao nota notas osservazione osservazioni "
    "uwaga uwagi notitie notities 备注"
)  # fmt: skip
"""Texts about the texts: they give way to any other column of texts."""
_LABEL_ITSELF: Final = _words(
    "label labels gold etiqueta etiquetas etiquette etiquettes etichetta etichette etykieta "
    "etykiety rotulo rotulos etikett etiketten 标签"
)  # fmt: skip
_OF_LABEL: Final = _words("name names text id index idx gold true num final class")
_LABEL: Final = _LABEL_ITSELF | _words(
    # English
    "category categories class classes classname sentiment sentiments intent intents topic topics "
    "emotion emotions stance polarity tag tags code codes classification annotation annotations "
    "coding theme themes genre toxicity target "
    # German
    "kategorie kategorien klasse klassen thema themen stimmung gefuhl emotionen kode kodes "
    "kodierung codierung einordnung klassifikation klassifizierung haltung tonalitat polaritat "
    "absicht rubrik "
    # French
    "categorie classe sujet sujets codage polarite rubrique tonalite intention "
    # Spanish, Portuguese
    "categoria categorias clase clases tema temas sentimiento sentimientos codigo codigos "
    "codificacion anotacion clasificacion polaridad emocion emociones intencion postura classe "
    "topico topicos sentimento sentimentos codificacao anotacao classificacao polaridade emocao "
    "emocoes intencao assunto "
    # Italian
    "classi temi argomento argomenti sentimenti codice codici codifica annotazione "
    "classificazione polarita emozione emozioni intento intenzione "
    # Dutch
    "categorieen onderwerp onderwerpen codering annotatie classificatie emotie emoties intentie "
    "houding stemming "
    # Polish
    "kategoria kategorie klasa klasy temat tematy sentyment nastroj kod kody kodowanie adnotacja "
    "klasyfikacja emocja emocje intencja wydzwiek "
    # Chinese
    "类别 分类 主题 话题 情感 情绪 意图 立场 种类"
)  # fmt: skip
_RATING: Final = _words(
    "rating ratings stars score scores grade bewertung wertung sterne note noten "
    "etoiles evaluation calificacion puntuacion valoracion estrellas voto valutazione punteggio "
    "stelle avaliacao nota estrelas pontuacao beoordeling waardering sterren cijfer ocena oceny "
    "gwiazdki 评分 星级 打分"
)  # fmt: skip
_TYPE: Final = _words("type types kind typ typen art tipo tipos 类型")
_ANNOTATOR: Final = _words(
    "annotator annotators coder coders rater raters labeler labelers labeller worker workers "
    "workerid turker crowdworker judge judges kodierer kodiererin kodiererinnen codierer "
    "codiererin annotierer annotierende kodierende codierende bewerter beurteiler annotateur "
    "annotateurs annotatrice codeur codeurs codeuse evaluateur codificador codificadora "
    "codificadores anotador anotadora anotadores etiquetador evaluador calificador rotulador "
    "avaliador annotatore annotatori codificatore codificatori valutatore valutatori beoordelaar "
    "beoordelaars codeerder annotatoren koder koderzy kodujacy adnotator anotator oceniajacy "
    "标注者 标注员 标注人 编码员 编码者 评分者 评估者"
)  # fmt: skip
_DONE: Final = _words(
    "labelled coded labeled annotated rated judged created modified "
    "edited reviewed kodiert codiert revisado revise gepruft sprawdzone "
    "annotiert bewertet erstellt etiquete bearbeitet geandert code annote "
    "cree modifie codificado anotado "
    "creado etiquetado modificado codificato annotato creato modificato criado gecodeerd "
    "geannoteerd gemaakt beoordeeld zakodowane oznaczone ocenione"
)  # fmt: skip
_PREDICTED: Final = _words("predicted prediction predictions pred vorhersage prediccion previsao")
_GUESSED: Final = _PREDICTED | _words("suggested suggestion users status")
"""With a word for label: what a model said, or of whom a label is, is no label."""
_OF_ANSWER: Final = _words(
    "confidence certainty agreement time date duration count comment comments note notes "
    "konfidenz sicherheit zeit datum dauer kommentar confiance certitude confianza fiducia "
    "confianca vertrouwen pewnosc"
)
"""After a word for annotator: what an annotator adds to a label, and not who it is."""
_PERSONAL: Final = _words(
    "gender sex age geschlecht alter sexe sexo genero edad sesso eta idade geslacht leeftijd plec "
    "wiek 性别 年龄"
)
_HOW_OLD: Final = (("how", "old"), ("wie", "alt"), ("hoe", "oud"))
_BY: Final = _words("by von durch par por da door przez")
_ID: Final = _words(
    "id ids uid uuid guid idx index identifier nr no num number nummer lfd kennung key numero "
    "identifiant identificador identificativo identyfikator numer 编号 序号"
)  # fmt: skip
_METADATA: Final = _words(
    "colour timestamp time times date dates datetime created modified updated duration length "
    "email url urls link links href website latitude longitude lat lon lng confidence probability "
    "prob weight coverage area beginning begin start end offset position page color len ip "
    "filename file path version likes retweets upvotes votes count counts address phone agreement "
    "helpfulness numerator denominator "
    "zeitstempel datum uhrzeit dauer lange farbe konfidenz wahrscheinlichkeit gewicht datei seite "
    "anfang ende adresse anzahl heure horodatage duree longueur lien fichier confiance courriel "
    "fecha hora duracion longitud enlace confianza correo archivo direccion durata lunghezza ora "
    "fiducia indirizzo duracao comprimento confianca arquivo endereco tijd tijdstempel duur lengte "
    "vertrouwen bestand adres czas godzina dlugosc pewnosc plik 时间 日期 "
    "时长 链接 邮箱 置信度 网址 地址"
)  # fmt: skip
_ABOUT: Final = _words(
    "gender sex age country language lang locale city state region location source platform device "
    "browser channel user username author authors speaker name names customer product brand store "
    "wave batch round group postal zip reviewer movie film book "
    "geschlecht alter land sprache ort stadt quelle autor autorin sprecher nutzer kunde vorname "
    "nachname produkt marke welle gruppe plattform plz "
    "sexe pays langue ville auteur nom prenom client produit groupe plateforme "
    "sexo genero edad pais idioma lengua ciudad fuente nombre usuario cliente producto grupo "
    "sesso eta paese lingua citta autore fonte nome utente prodotto gruppo "
    "idade cidade produto lingua "
    "geslacht leeftijd taal stad bron naam gebruiker klant groep "
    "plec wiek kraj jezyk miasto zrodlo imie nazwisko uzytkownik klient produkt grupa "
    "性别 年龄 国家 语言 城市 作者 来源 姓名 用户 平台 产品"
)  # fmt: skip
_VAGUE: Final = _words("code codes kod kode codigo codice class klasse classe type name names")
_GENERIC: Final = _LABEL_ITSELF | _VAGUE | _words(
    "category categories tag tags kategorie kategorien categorie categoria categorias clase classe "
    "kategoria klasa 类别 分类"
)  # fmt: skip
_SPLIT: Final = _words(
    "split partition subset set fold usage aufteilung teilmenge datensatz jeu ensemble conjunto "
    "particion subconjunto insieme partizione particao deelverzameling zbior podzial 数据集 划分"
)  # fmt: skip
_ENDINGS: Final[dict[str, tuple[str, ...]]] = {
    "text": ("text", "satz", "kommentar", "antwort", "inhalt", "beitrag", "nachricht", "zitat",
             "tekst", "antwoord", "reactie", "bericht"),
    "label": ("kategorie", "klasse", "thema", "kodierung", "codierung", "categorie", "codering"),
    "rating": ("bewertung", "beoordeling"),
    "annotator": ("kodierer", "kodierers", "codierer", "codierers", "beoordelaar"),
    "id": ("nummer", "kennung"),
    "metadata": ("datum", "zeitstempel", "dauer", "adresse"),
}  # fmt: skip
_VOCABULARY: Final = {
    "text": _TEXT, "remark": _REMARK, "label": _LABEL, "rating": _RATING,
    "type": _TYPE, "annotator": _ANNOTATOR,
    "id": _ID, "metadata": _METADATA, "about": _ABOUT, "split": _SPLIT,
}  # fmt: skip
_LETTERS: Final = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe"})


@dataclass(frozen=True)
class NameSays:
    """The role that a name gives, None if it gives none, and how clearly: 4 is the role itself.

    Attributes:
        split: whether the name could be that of ready-made splits, which its values decide.
        remark: whether it names texts about the texts, such as notes.
    """

    text: int = 0
    label: int = 0
    other: Role | None = None
    split: bool = False
    remark: bool = False


def plain_name(name: str) -> str:
    """Return a column name in snake case: "Comment Text" -> comment_text."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-.]+", "_", spaced).lower()


def by_name(names: Sequence[str], free: Sequence[str]) -> str | None:
    """Return the first free column, in the order of the names, whose plain name is one of these."""
    by_plain = {plain_name(column): column for column in reversed(free)}
    return next((by_plain[name] for name in names if name in by_plain), None)


def unaccented(word: str) -> str:
    """Return a word in lower case, without accents."""
    parts = unicodedata.normalize("NFKD", word.casefold().translate(_LETTERS))
    return "".join(sign for sign in parts if not unicodedata.combining(sign))


def words_in(name: str) -> list[str]:
    """Return the words of a name in order: "reviewText (2)" -> review, text."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", unaccented(spaced))


@lru_cache(4096)
def says(name: str) -> NameSays:
    """Return what the name of a column says of its role."""
    words = words_in(name)
    if words == ["y"]:
        return NameSays(label=NOUN)
    words = [word for word in words if len(word) > 1 or not word.isascii()]
    found = {role for role in _VOCABULARY for word in words if _is(word, role)}
    split = "split" in found
    if len(words) > _LONGEST_NAME:
        return NameSays(label=WEAK if "label" in found else 0)
    itself = [word for word in words if word in _LABEL_ITSELF or _is_chinese(word, _LABEL_ITSELF)]
    if itself and all(word in _LABEL_ITSELF | _OF_LABEL or word in itself for word in words):
        return NameSays(label=LITERAL)
    if len(words) == 1 and words[0] in _TEXT_ITSELF:
        return NameSays(text=LITERAL)
    by = any(one in _DONE and two in _BY for one, two in pairwise(words))
    if "annotator" in found or by:
        if "label" in found and not by:
            return NameSays(label=NOUN)
        if not by and len(words) > 1 and words[-1] in _OF_ANSWER:
            return NameSays(other="metadata")
        return NameSays(other="metadata" if found & {"text", "remark"} else "annotator")
    if "label" in found and "about" in found and all(
        word in _VAGUE for word in words if _is(word, "label")
    ):  # fmt: skip
        return NameSays(other="about", split=split)
    guessed = "label" in found and any(word in _GUESSED for word in words)
    if "metadata" in found or guessed or (words and _PREDICTED.issuperset(words)):
        return NameSays(other="metadata", split=split)
    if "id" in found and "label" not in found and any(_is(w, "id") for w in (words[0], words[-1])):
        return NameSays(other="id", split=split)
    if "text" in found and "label" not in found and words[-1] in _ABOUT - _TEXT:
        return NameSays(other="about", split=split)
    label = NOUN if "label" in found else 0
    label = RATING if "rating" in found else label or (WEAK if "type" in found else 0)
    text = NOUN if found & {"text", "remark"} else 0
    other: Role | None = "about" if "about" in found and not (label or text) else None
    return NameSays(text, label, other, split, "remark" in found and "text" not in found)


def asks_about_person(name: str) -> bool:
    """Return whether the name of a column asks for the age or gender of who answers."""
    words = words_in(name)
    return any(word in _PERSONAL or _is_chinese(word, _PERSONAL) for word in words) or any(
        pair in _HOW_OLD for pair in pairwise(words)
    )


def is_vague(name: str) -> bool:
    """Return whether a name speaks of labels in words of many senses only, as `Code` or `Klasse`.

    A code can also be that of a participant, and a class one of a school.
    """
    words = [word for word in words_in(name) if _is(word, "label")]
    return bool(words) and all(word in _VAGUE for word in words)


def is_label_of_something(name: str) -> bool:
    """Return whether a name says of what it is a label or category, as `Priority label` does.

    Then another column can be the label that is meant.
    """
    words = [word for word in words_in(name) if len(word) > 1 or not word.isascii()]
    own = [word for word in words if _is(word, "label")]
    return len(words) > len(own) > 0 and all(word in _GENERIC for word in own)


def _is(word: str, role: str) -> bool:
    """Whether a word has a role: as a whole, by its last part, or by what Chinese it contains."""
    known, endings = _VOCABULARY[role], _ENDINGS.get(role, ())
    return word in known or word.endswith(endings) or _is_chinese(word, known)


def _is_chinese(word: str, known: frozenset[str]) -> bool:
    return not word.isascii() and any(not w.isascii() and w in word for w in known)


_SPLIT_VALUES: Final[dict[SplitName, frozenset[str]]] = {
    "train": _words(
        "train training trained learn learning entrainement apprentissage entrenamiento treino "
        "treinamento addestramento allenamento trainen opleiding trening treningowy uczacy 训练"
    ),
    "validation": _words(
        "validation valid val dev devel development validierung entwicklung developpement "
        "validacion desarrollo validacao desenvolvimento validazione sviluppo validatie "
        "ontwikkeling walidacja walidacyjny 验证 开发"
    ),
    "test": _words("test testing tests tst prueba teste testowy essai 测试"),
}  # fmt: skip
_PART_OF_DATA: Final = re.compile(
    r"(?<=..)(s?(dataset|datensatz|set|split|data|daten|menge|satz|sample))$|[集]$"
)


@lru_cache(4096)
def split_of(value: str) -> SplitName | None:
    """Return the split that a value names in one of nine languages; None if it names none."""
    word = "".join(words_in(value.strip()))
    for one in (word, _PART_OF_DATA.sub("", word)):
        for split, known in _SPLIT_VALUES.items():
            if one in known:
                return split
    return None


FIRST_NAMES: Final = _words(
    "anna anne ben berta carla carlos chiara christian clara daniel david elena emily emma eva "
    "felix fiona frank giulia hans ines jan jana jean john jonas jose joao juan julia kasia katrin "
    "lara laura lea lena leon lisa luca lucas luis lukas lukasz "
    "maria marie mario mark marta martin "
    "max mia michael mike nina noah olga paul paula pedro peter piotr rosa sara sarah simon sofia "
    "sophie stefan susan thomas tim tom tomasz yan 张 王 李 wei "
    "li ana agnieszka pierre camille louis "
    "marco paolo pablo lucia joana miguel sven anja daan sanne bram femke alice bob carol"
)  # fmt: skip
