"""A process that applies networks does not load what Keras only takes where it is installed."""

import subprocess
import sys

_CODE = """
import sys
from decloud_lib.reconstruction.served import open_model
with open_model("gapfilling_kriged") as model:
    model.network()
assert "keras" in sys.modules
print(sorted({"sklearn", "pandas", "matplotlib"} & set(sys.modules)))
import pandas, matplotlib
print(pandas.DataFrame({"a": [1]}).a.sum(), matplotlib.__name__)
"""


def test_keras_comes_without_the_libraries_that_nobody_asked_for() -> None:
    command = [sys.executable, "-c", _CODE]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "1 matplotlib"]
