"""What may be asked of what arrives: labels, and limits of a picture."""

from __future__ import annotations

import menagerie_contract as contract
from airflow.providers.common.compat.sdk import Param

LIMITS = "Limits of a picture"  # a section of the form

ARRIVING = {
    "label_rule": Param(
        "filename",
        enum=["filename", "folder", "manifest"],
        title="Label rule",
        description="The true label is in the file's name, <label>_<n>.<ext>, is its folder's name, or is in a label manifest.",
    ),
    "label_pattern": Param(
        contract.LABEL_PATTERN,
        type="string",
        title="Label pattern",
        description="With the label rule filename: a regular expression with a group (?P<label>…), on the name without its "
        "extension.",
    ),
    "label_manifest": Param(
        "",
        type=["null", "string"],
        title="Label manifest",
        description="With the label rule manifest: name of a .csv or .jsonl in animals_all with the columns name (or uri) and "
        "label.",
    ),
    "allow": Param(
        "",
        type=["null", "string"],
        title="Allowed labels",
        description="The only ones that are taken, separated by commas (with New classes hold: beside those known). Empty: "
        "as New classes says. What is refused stays in quarantine: put the picture there again once its label is allowed.",
    ),
    "new_classes": Param(
        "accept",
        enum=["accept", "hold", "refuse"],
        title="New classes",
        description="Pictures with a label that was never seen before are taken (accept), wait in animals_all/_held/<label>/ "
        "until Allowed labels names it (hold; of a first run, that is all), or go to quarantine (refuse).",
    ),
    "max_bad": Param(
        0.2,
        type="number",
        minimum=0,
        maximum=1,
        title="Bad pictures allowed",
        description="Above this share of a range's new pictures, the run fails.",
    ),
    "range_size": Param(
        50_000,
        type="integer",
        minimum=1,
        maximum=50_000,
        title="Pictures a range",
        description="More new pictures than this are sorted side by side: a task for each so many.",
    ),
    "max_megapixels": Param(
        50, type="number", exclusiveMinimum=0, title="Megapixels", description="At most, in millions.", section=LIMITS
    ),
    "max_megabytes": Param(
        50, type="number", exclusiveMinimum=0, title="Megabytes", description="At most, in millions.", section=LIMITS
    ),
    "min_side": Param(
        32, type="integer", minimum=1, title="Shorter side", description="At least, in pixels.", section=LIMITS
    ),
    "max_aspect": Param(
        20, type="number", minimum=1, title="Aspect", description="Longer to shorter side, at most.", section=LIMITS
    ),
}
