from training.commands.evaluate import unlike


def test_models_that_are_corrected_equally_often_need_no_word():
    for counts in ({}, {"wavenet": 0, "reverse": 12}, {"reverse": 12, "runs/mine/last/model": 12}):
        assert unlike(counts) is None, counts


def test_models_that_are_not_are_named_with_their_counts():
    said = unlike({"reverse": 12, "runs/mine/last/model": 5, "wavenet": 0}) or ""
    assert "model says: reverse 12 times, runs/mine/last/model 5 times; --corrections" in said
