"""Run by a Python that has inspect_ai: judge stored responses with the exported scorers, and evaluate the task.

python inspect_run.py FOLDER URL    (the responses as JSON on standard input, the findings as JSON on standard output)
"""

import asyncio
import json
import math
import sys
from pathlib import Path

from inspect_ai import eval as evaluate
from inspect_ai._util.module import load_module
from inspect_ai.model import ChatMessageUser, ModelName, ModelOutput, get_model
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState

folder, url = Path(sys.argv[1]), sys.argv[2]
responses = json.load(sys.stdin)
module = load_module(folder / "grab.py")


def plain(values):
    return {name: None if math.isnan(value) else value for name, value in values.items()}


async def judged(row):
    output = ModelOutput.from_content("m", row["text"], stop_reason=row.get("stopped", "stop"))
    state = TaskState(
        ModelName("mockllm/model"), 1, 1, "", [ChatMessageUser(content="")], output=output, metadata=row
    )
    return [
        plain((await judge(state, Target(row["answer"]))).value)
        for judge in (module.as_said(), module.extracted())
    ]


async def all_judged():
    return [await judged(row) for row in responses]


stored = asyncio.run(all_judged())
model = get_model("openai-api/loopback/m", base_url=url, api_key="none")
(log,) = evaluate(
    module.grab(),
    model=model,
    log_dir=str(folder / "logs"),
    display="none",
    score_display=False,
    max_connections=4,
)
samples = [
    {
        "id": sample.id,
        "text": sample.output.completion,
        "stopped": str(sample.output.stop_reason),
        "scores": [plain(sample.scores[name].value) for name in ("as_said", "extracted")],
    }
    for sample in log.samples or []
]
metrics = {
    score.scorer + "/" + score.name: {name: metric.value for name, metric in score.metrics.items()}
    for score in log.results.scores
}
print(json.dumps({"status": log.status, "stored": stored, "samples": samples, "metrics": metrics}))
