"""`python convert.py REQUEST.json`: writes the linear regression of a PMML file as a Toy model.

It runs in the environment toy, in a sandbox without network. Nothing of Klever is installed there.
"""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

request = json.loads(Path(sys.argv[1]).read_text())
document = ET.parse(next(Path(request["model"]).glob("*.pmml")))
table = document.find(".//{*}RegressionTable")
if table is None:
    sys.exit("the PMML document has no RegressionTable: only linear regressions can be converted")
slope = [float(predictor.attrib["coefficient"]) for predictor in table.iterfind("{*}NumericPredictor")]
output = Path(request["output"])
output.mkdir()
(output / "model.toy").write_text(json.dumps({"slope": slope, "intercept": float(table.attrib["intercept"])}))
