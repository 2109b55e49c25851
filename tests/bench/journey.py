"""How long people wait: for `atelier up`, for a picture, and for Ctrl-C.

The limits are what is promised: ready again in 8 s, a picture in 5 s after the post, a video of
5 s in 60 s, everything stopped in 10 s.
"""

import tempfile
import time
from pathlib import Path

from tests.acceptance.test_journey import example
from tests.bench.report import Figure, median, report
from tests.support.atelier import STOP_S, Atelier, Outside, Person

RUNS = 3
READY_S = 8.0
PICTURE_S = 5.0
VIDEO_S = 60.0
VIDEO = {"video_options": {"duration": 5}}


def main() -> None:
    """Start, order and stop three times over the same data."""
    starts: list[float] = []
    pictures: list[float] = []
    small: list[float] = []
    videos: list[float] = []
    stops: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        atelier = Atelier(Path(folder) / "data", Outside({}, {}))
        first = atelier.start()
        atelier.stop()
        for _ in range(RUNS):
            starts.append(atelier.start())
            with atelier.client() as client:
                person = Person(client)
                picture_seconds(person, example())  # the first one warms it up
                pictures.append(picture_seconds(person, example()))
                small.append(picture_seconds(person, {}))
                if not videos:
                    videos.append(picture_seconds(person, VIDEO, "/generate_video"))
            stops.append(atelier.stop()[0])
    report(
        "journey",
        [
            Figure(name="first start, with the body model's preparation", unit="s", ours=first),
            Figure(name="start again", unit="s", ours=median(starts), limit=READY_S),
            Figure(
                name="post to picture, contract's example",
                unit="s",
                ours=median(pictures),
                limit=PICTURE_S,
            ),
            Figure(name="post to picture, defaults", unit="s", ours=median(small), limit=PICTURE_S),
            Figure(name="post to video of 5 s (one run)", unit="s", ours=videos[0], limit=VIDEO_S),
            Figure(name="Ctrl-C to nothing left", unit="s", ours=median(stops), limit=STOP_S),
        ],
    )


def picture_seconds(person: Person, body: object, path: str = "/generate") -> float:
    """From the post until the task is seen to have succeeded."""
    began = time.monotonic()
    task = person.post(path, body)["task_id"]
    assert person.wait_for(task, 300)["status"] == "SUCCESS"
    return time.monotonic() - began


if __name__ == "__main__":
    main()
