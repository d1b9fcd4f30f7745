"""What is said of the samples that a training takes."""

from trainer.data import bounds


def test_the_samples_of_a_large_training_are_named_and_a_small_one_has_none() -> None:
    assert bounds.said(4_000) == ""
    assert bounds.said(8_882) == "Of the 8,882 training documents a sample is used: 8,000 for the fit."
    large = bounds.said(700_000)
    assert all(
        each in large for each in ("700,000", "100,000 for the start of the head", "20,000 for cross-validation")
    )
