"""The pandas UDF of the manual predicts on Spark what `finetext predict` predicts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

import finetext
from finetext.core.contracts import FitContext
from finetext.core.types import Dataset

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "outgrow.md"
THREADS = """
import pandas as pd


@pandas_udf("int")
def threads(texts: pd.Series) -> pd.Series:
    import torch

    return pd.Series([torch.get_num_threads()] * len(texts))


assert {row[0] for row in rows.select(threads("text")).collect()} == {1}
spark.stop()
"""


@pytest.mark.slow
def test_the_udf_of_the_manual(topics: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed: Spark does not run")
    model = finetext.Tfidf().fit(topics, topics.select([]), FitContext())
    model.save(tmp_path / "runs" / "reviews")
    texts = [f"the {word} and the {other}" for word in topics.texts for other in ("bank", "soup")]
    rows = pyarrow.table({"id": list(range(len(texts))), "text": texts})
    (tmp_path / "data").mkdir()
    for number in (0, 1):
        half = rows.slice(number * len(rows) // 2, len(rows) // 2)
        pyarrow.parquet.write_table(half, tmp_path / "data" / f"{number}.parquet")
    manual = PAGE.read_text(encoding="utf-8").replace("/shared/", f"{tmp_path.as_posix()}/")
    for name, end in (("predict_udf.py", ""), ("predict_spark.py", THREADS)):
        [block] = re.findall(rf"^```py\n(# {name}\n.*?)^```", manual, re.S | re.M)
        (tmp_path / name).write_text(block + end)
    own = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    arguments = "--master local[2] --conf spark.ui.enabled=false pyspark-shell"
    done = subprocess.run(
        [sys.executable, "predict_spark.py"], cwd=tmp_path, capture_output=True, text=True,
        timeout=900, env={**os.environ, **own, "PYSPARK_SUBMIT_ARGS": arguments},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = pyarrow.dataset.dataset(tmp_path / "predicted").to_table().sort_by("id")
    finetext.predict_parts(tmp_path / "runs" / "reviews", tmp_path / "data", tmp_path / "expected")
    expected = pyarrow.dataset.dataset(tmp_path / "expected").to_table().sort_by("id")
    for name in ("id", "text", "prediction", "probability"):
        assert found[name].to_pylist() == expected[name].to_pylist()
