import json
from pathlib import Path

import crashing
import pytest

from vocoder.bulk.jobs import Job, list_jobs
from vocoder.bulk.run import rows
from vocoder.bulk.synthesis import in_processes

OUT = Path("out")


def test_folders_and_manifests_determine_the_output_paths(tmp_path):
    for name in ("one.npy", "a/two.npy", "a/b/three.v2.npy", "a/text.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    jobs = list_jobs([tmp_path, tmp_path / "a" / "two.npy"], OUT, ".flac")
    found = {job.mel.relative_to(tmp_path).as_posix(): job.audio.as_posix() for job in jobs[:-1]}
    assert found == {f"{name}.npy": f"out/{name}.flac" for name in ("a/b/three.v2", "a/two", "one")}
    assert jobs[-1] == Job(tmp_path / "a" / "two.npy", OUT / "two.flac")
    lines = ({"mel": "a/one\u2028.npy"}, "", {"mel": "two.npy", "audio": "b/zwei.wav"}, {"mel": "../three.npy"})
    assert list_jobs([write_manifest(tmp_path, *lines)], OUT, ".wav") == [
        Job(tmp_path / "a/one\u2028.npy", OUT / "a/one\u2028.wav"),
        Job(tmp_path / "two.npy", OUT / "b/zwei.wav"),
        Job(tmp_path / "../three.npy", OUT / "three.wav"),
    ]


def write_manifest(folder, *lines):
    text = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    (folder / "mels.jsonl").write_text("\n".join(text), encoding="utf-8")
    return folder / "mels.jsonl"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2 is not a JSON object: "),
        ("[]", "must be an object with"),
        ({"mel": "a.npy", "sead": 3}, "has the unknown sead"),
        ({"audio": "a.wav"}, "with the path `mel`"),
        ({"mel": "a.npy", "audio": "../a.wav"}, "inside the output folder ending in .wav"),
        ({"mel": "a.npy", "audio": "/a.wav"}, "inside the output folder ending in .wav"),
        ({"mel": "a.npy", "audio": "a.flac"}, "ending in .wav"),
        ({"mel": "ok.npy"}, "several files would be written to out/ok.wav"),
    ],
)
def test_invalid_manifest_lines_are_rejected(line, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        list_jobs([write_manifest(tmp_path, {"mel": "ok.npy"}, line)], OUT, ".wav")


def test_short_mels_are_grouped_into_rows(write_mels):
    folder = write_mels(40, 50, 20, 300, 10, 90)
    (folder / "text.npy").write_text("not a mel")
    jobs = list_jobs([folder], OUT, ".wav")
    names = [[job.mel.stem for job in row] for row in rows(jobs, limit=100)]
    assert names == [["00", "01"], ["02"], ["03"], ["04", "05", "text"]]


def jobs(folder, *names):
    return [Job(folder / f"{name}.npy", folder / f"{name}.wav") for name in names]


def test_a_crashing_worker_only_loses_the_file_that_crashed_it(tmp_path):
    requested = []

    def rows():
        for names in ("ab", ("c", "d", "poison"), "e", "f"):
            requested.append(names[0])
            yield jobs(tmp_path, *names)

    run = in_processes(rows(), crashing.crash_on_poison, 1)
    outcomes = [next(run)]
    assert requested == ["a", "c"]  # rows are generated just before they are needed
    outcomes += run
    errors = {outcome.job.mel.stem: outcome.error for outcome in outcomes}
    assert len(outcomes) == len(errors) == 7
    assert errors.pop("poison") == "its worker died"
    assert errors == dict.fromkeys("abcdef")
    assert [(tmp_path / f"{name}.wav").read_text(encoding="utf-8") for name in "abcdef"] == [f"{n}\n" for n in "abcdef"]


@pytest.mark.parametrize(
    ("work", "error", "reason"),
    [(crashing.fail_to_load, ValueError, "no weights"), (crashing.crash_at_start, OSError, "while loading the model")],
)
def test_workers_that_cannot_start_abort_the_run(work, error, reason, tmp_path):
    with pytest.raises(error, match=reason):
        list(in_processes([jobs(tmp_path, "a")], work, 1))
