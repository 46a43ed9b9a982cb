"""A toy converter's program: it copies the model, and says what it sees of the machine."""

import json
import os
import pathlib
import socket
import sys

request = json.loads(pathlib.Path(sys.argv[1]).read_text())
model, output = pathlib.Path(request["model"]), pathlib.Path(request["output"])
print("python", sys.prefix)
print("variable", os.environ.get("INPUTS"))
work = model.parent.parent
for name in ("spec.json", "layout/index.json"):
    try:
        opened = os.open(work / name, os.O_RDONLY)
    except OSError:
        continue
    os.close(opened)
    print("sees", name)
for secret in os.environ["INPUTS"].split(","):
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(secret)
        print("reaches", secret)
    except OSError:
        continue
if os.environ.get("OUTPUTS") == "link":
    output.symlink_to(work)
elif os.environ.get("OUTPUTS") == "nothing":
    sys.exit("the model has an operator that is not known")
else:
    output.mkdir()
    for file in model.iterdir():
        (output / "converted.onnx").write_bytes(file.read_bytes())
    outputs = {"Z": {"absolute": 0.5, "relative": 0.25}}
    report = {"samples": ["random"], "tolerance": request["options"]["factor"], "outputs": outputs, "passed": True}
    pathlib.Path(request["report"]).write_text(os.environ.get("REPORT") or json.dumps(report))
