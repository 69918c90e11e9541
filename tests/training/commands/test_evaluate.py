from training.commands.evaluate import unlike


def test_models_that_are_not_corrected_equally_often_are_named_with_their_counts():
    for counts in ({}, {"wavenet": 0, "reverse": 12}, {"reverse": 12, "runs/mine": 12}):
        assert unlike(counts) is None
    said = str(unlike({"reverse": 12, "runs/mine": 5, "wavenet": 0}))
    assert "number of corrections: reverse 12 times, runs/mine 5 times; to compare" in said
