from training.commands.evaluate import unlike


def test_different_numbers_of_corrections_are_reported():
    for counts in ({}, {"wavenet": 0, "reverse": 12}, {"reverse": 12, "runs/mine": 12}):
        assert unlike(counts) is None
    message = str(unlike({"reverse": 12, "runs/mine": 5, "wavenet": 0}))
    assert "number of corrections: reverse 12 times, runs/mine 5 times; to compare" in message
