"""What the columns of a table are: their type, their label, and how their values are written."""

from typing import NamedTuple

from cifar_arch.spec import STAGES, TRANSITIONS

TEXT, WHOLE, NUMBER, YES_NO = "str", "Int64", "float64", "boolean"


class Column(NamedTuple):
    kind: str  # of pandas
    label: str | None = None  # with its unit; None: its key
    form: str | None = None  # how a value is written; None: as it is


# Every column that a table of runs always has; those of the config follow under their full keys.
COLUMNS = {
    "folder": Column(TEXT),
    "source": Column(TEXT),  # runs, sweeps or confirm: the folder below outputs that it lies in
    "study": Column(TEXT),
    "trial": Column(WHOLE),
    "status": Column(TEXT),  # completed, pruned, rejected, failed, continued, running, unreadable
    "reason": Column(TEXT),
    "cause": Column(TEXT),  # what ended it from outside, such as interrupted
    "accuracy": Column(NUMBER, form="{:.2%}"),  # 0 to 1: of the validation, or else of the test images
    "accuracy_of": Column(TEXT, "of"),  # validation or test
    "val_accuracy": Column(NUMBER, "validation", "{:.2%}"),
    "test_accuracy": Column(NUMBER, "test", "{:.2%}"),
    "front": Column(YES_NO),  # whether on that of its sweep, where this has several objectives
    "reaches_target": Column(YES_NO),
    "target_accuracy": Column(NUMBER),
    "params": Column(WHOLE, "parameters", "{:,}"),  # trainable numbers
    "macs": Column(WHOLE, "MACs", "{:,}"),  # multiply-adds
    "latency_ms": Column(NUMBER, "latency (ms)", "{:.3f}"),  # of one image, where it was asked for
    "receptive_field": Column(WHOLE, "field (px)", "{:d}"),  # pixels
    "receptive_field_with_pooling": Column(WHOLE),
    "width": Column(WHOLE),  # channels of C1; with model.width=auto those that were found
    **dict.fromkeys((*STAGES, *TRANSITIONS, "downsample"), Column(TEXT)),
    "epochs": Column(WHOLE),
    "epochs_done": Column(WHOLE, "epochs done", "{:d}"),
    "seconds": Column(NUMBER, form="{:,.0f}"),
    "images_per_second": Column(NUMBER),
    "device": Column(TEXT),
    "seed": Column(WHOLE),
    "data": Column(TEXT),
    "train_accuracy": Column(NUMBER),
    "val_loss": Column(NUMBER),  # nats
    "test_loss": Column(NUMBER),
    "architecture": Column(TEXT),  # equal for equal layers
    "error": Column(TEXT),
    "note": Column(TEXT),
    "git_commit": Column(TEXT),
    "command": Column(TEXT),  # trains the same once more
}
# What is worked out from such a table.
COMPUTED = {
    "rank": Column(WHOLE, form="{:d}"),
    "mean": Column(NUMBER, "mean accuracy", "{:.2%}"),
    "std": Column(NUMBER, form="{:.2%}"),
    "best": Column(NUMBER, form="{:.2%}"),
    "share": Column(NUMBER, "share of variance", "{:.0%}"),
}
