"""Write sample_data/README.md from the truth of the sample trial.

Example, after a change of the generator:
    rm -r sample_data/trial
    infarct-vol simulate sample_data/trial --participants 4 --seed 20 --compact
    python bench/sample_readme.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

HEAD = """# Sample trial

Four digital participants with known infarct volumes, small enough for git. Whole heads are made on the MNI152
templates; nobody's scans are in here. The files lie in `trial/`, a BIDS dataset with its truth beside it in
`trial/derivatives/truth/`, and were made by

```sh
infarct-vol simulate sample_data/trial --participants 4 --seed 20 --compact
```

The same command gives the same bytes. `infarct-vol demo` runs the main job on them.

## True volumes in mL

Exact volumes of the simulated lesions, from fractions of 1 mm3. `infarct` is rim and cavity of the original
infarct; `cavity` is part of it; a `new lesion` elsewhere is counted apart.

| participant | visit | infarct | cavity | new lesion | what happens |
|---|---|---|---|---|---|
"""


def main() -> None:
    """Write the README."""
    root = Path(__file__).parents[1] / "sample_data"
    truth = pd.read_csv(root / "trial" / "derivatives" / "truth" / "truth.csv", keep_default_na=False)
    flair = truth[truth.modality == "flair"]
    order = {"baseline": 0, "month1": 1, "month3": 2, "month6": 3}
    lines = []
    for (participant, visit), rows in sorted(
        flair.groupby(["participant_id", "visit"]), key=lambda item: (item[0][0], order[item[0][1]])
    ):
        ml = rows.set_index("parameter").volume_ml
        note = rows.scenario.iloc[0].replace("_", " ").replace("+", ", ") if visit == "baseline" else ""
        if rows.scan_status.iloc[0] != "ok":
            note = "the scan file is damaged on purpose and must be refused"
        cells = (participant, visit, *(f"{ml[p]:.2f}" for p in ("infarct", "cavity", "new_lesion")), note)
        lines.append("| " + " | ".join(cells) + " |")
    (root / "README.md").write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
