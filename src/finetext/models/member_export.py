"""Export of a blend or a cascade: members with an encoder become exports, the others stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from finetext.core.contracts import Classifier
from finetext.core.decision import AS_LIKELY
from finetext.core.errors import ModelError
from finetext.methods.blend import BlendClassifier, Part
from finetext.methods.cascade import CascadeClassifier, Routed, Stage
from finetext.models.exporters import WITH_ENCODER, Made, Original, refuse_export

_WITHOUT_TORCH: Final = ("majority", "tfidf", "static", "onnx")


def originals_of(original: Original) -> list[Original]:
    """Return what is to be exported: the original, or members of a blend or a cascade.

    These are all members of a blend that have an encoder, and of a cascade the expensive classifier
    alone: the cheap one decides what is sent on, which stays the same.

    Raises:
        ModelError: there is no such member, or the original is an export. It says what to do.
    """
    of = original.classifier
    if not isinstance(of, BlendClassifier | CascadeClassifier):
        return [original]
    refuse_export(of)
    if isinstance(of, BlendClassifier):
        members = [part for part in of.parts if part.classifier.kind in WITH_ENCODER]
        if not members:
            raise ModelError(
                f"no member of this blend ({', '.join(part.name for part in of.parts)}) can be "
                "exported: none is a fine-tuned encoder or a probe; copy its model folder"
                + _if_light(of.parts)
            )
        return [_original_of(original, member) for member in members]
    expensive = of.expensive
    if expensive.classifier.kind not in (*WITH_ENCODER, BlendClassifier.kind):
        raise ModelError(
            f"the expensive classifier of this cascade, {expensive.name}, cannot be exported: it "
            f"is a {expensive.classifier.kind} classifier, no fine-tuned encoder or probe; make a "
            "cascade with one (finetext cascade RUN --method finetune), or copy the folder of this "
            "one" + _if_light(of.stages)
        )
    return originals_of(_original_of(original, expensive))


def made_of_members(original: Original, work: Path, make: Callable[[Original, Path], Made]) -> Made:
    """Return a blend or a cascade like the original, with exports in place of some members.

    Args:
        original: it has a member that can be exported.
        work: an empty folder; each export gets a folder below it.
        make: makes the export of a member, which of a cascade is tried on the rows sent on. Its
            decision rule is the likeliest label, or a probability of 0.5, as the rule of the
            original is applied to all members together.
    """
    of, made, apart = original.classifier, dict[str, Made](), original.apart()
    read = apart  # what the members read

    def exported(member: Part | Stage) -> Classifier:
        original.say(f"exporting {member.name}")
        place = work / member.name
        place.mkdir()
        part = replace(_original_of(original, member), apart=lambda: read)
        made[member.name] = make(part, place)
        return made[member.name].classifier

    new: Classifier
    remarks, whose = list[str](), ""
    if isinstance(of, CascadeClassifier):
        whose = " and the rows sent on to it"
        if apart is not None:
            rows = apart.compare
            sent = of.sent_on(of.cheap.classifier.predict_proba(rows.texts))
            read = replace(apart, compare=rows.select(sent))
        expensive = replace(of.expensive, classifier=exported(of.expensive))
        known = of.certificate
        new = replace(
            of, expensive=expensive, certificate=None, routed=Routed(), made_from=original.name,
            original_certificate=known,
        )  # fmt: skip
        kept = _heavy([of.cheap])
        if known is not None:
            remarks.append(
                f"the certificate of the original (at most {100 * known.most_loss:g} points of "
                "accuracy lost) was given before the export, which has none"
            )
    else:
        assert isinstance(of, BlendClassifier)
        new = replace(
            of, made_from=original.name,
            parts=tuple(
                replace(part, classifier=exported(part))
                if part.classifier.kind in WITH_ENCODER else part for part in of.parts
            ),
        )  # fmt: skip
        kept = _heavy([part for part in of.parts if part.name not in made])
    if kept:
        remarks.append(f"{' and '.join(kept)}, which stays as it is, may need torch to predict")
    told = [f"for {name}{whose}, {each.remark}" for name, each in made.items() if each.remark]
    has_rows = apart is not None and any(each.rows is not None for each in made.values())
    which = next((each.which for each in made.values() if each.which), "")
    compared = apart.compare if apart and has_rows else None
    return Made(new, compared, "; ".join([*told, *remarks]), which)


def _original_of(original: Original, member: Part | Stage) -> Original:
    """Return a member as the original of an export."""
    classifier = member.classifier.original.with_decision(AS_LIKELY)
    return replace(original, classifier=classifier, name=f"{original.name}/{member.name}")


def _heavy(members: Sequence[Part | Stage]) -> list[str]:
    return [of.name for of in members if of.classifier.kind not in _WITHOUT_TORCH]


def _if_light(members: Sequence[Part | Stage]) -> str:
    return "" if _heavy(members) else ", which predicts without torch as it is"
