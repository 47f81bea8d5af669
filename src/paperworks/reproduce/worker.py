"""Runs one experiment in a process of its own and tells its parent what happens, one JSON object a line.

    python -m paperworks.reproduce.worker FD REQUEST

`FD` is an inherited, writable file descriptor, `REQUEST` a JSON object: module, claim, scratch, shared, seed, scale,
device.
Whatever the experiment prints goes to its log, so nothing it does can garble the messages.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from paperworks.claims import Claim, Evidence, Lab, Skip, claims_of
from paperworks.devices import resolve_device
from paperworks.errors import InputError


def main(descriptor: int, request: dict[str, Any]) -> int:
    with os.fdopen(descriptor, "w", buffering=1, encoding="utf-8") as parent:

        def tell(**message: Any) -> None:
            parent.write(json.dumps(message) + "\n")
            parent.flush()

        try:
            claim = find_claim(request["module"], request["claim"])
            device = resolve_device(request["device"])
            scratch = Path(request["scratch"])
            scratch.mkdir(parents=True, exist_ok=True)
            lab = Lab(
                scratch=scratch,
                figure_folder=scratch / "figures",
                claim_id=f"{claim.method}.{claim.id}",
                device=device,
                seed=request["seed"],
                scale=request["scale"],
                shared_folder=Path(request["shared"]),
                report=lambda done, total, what: tell(progress=[done, total, what]),
            )
            evidence = claim.run(lab)
            if not isinstance(evidence, Evidence):
                raise TypeError(f"the experiment returned {type(evidence).__name__}, not Evidence")
            tell(
                evidence=asdict(evidence) | {"figures": list(evidence.figures or lab.figures)}, device=device
            )
        except (Skip, InputError) as skip:
            tell(skipped=str(skip))
        except Exception as error:
            traceback.print_exc()
            tell(crashed=f"{type(error).__name__}: {error}")
            return 1
    return 0


def find_claim(module: str, name: str) -> Claim:
    for claim in claims_of(import_module(module)):
        if claim.id == name:
            return claim
    raise LookupError(f"no claim {name!r} in {module}")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), json.loads(sys.argv[2])))
