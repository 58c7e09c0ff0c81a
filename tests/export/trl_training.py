"""Two steps of TRL on an export, by the Python of an environment with trl.

Run as `python trl_training.py BASE PROCESSOR EXPORT`. Prints JSON: the target
tokens of each example, and the loss at each step.
"""

from __future__ import annotations

import json
import sys
from tempfile import TemporaryDirectory

import torch
from datasets import load_dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, SFTTrainer


def main(base: str, processor_folder: str, export: str) -> None:
    """Train and print."""
    processor = AutoProcessor.from_pretrained(processor_folder)  # type: ignore[no-untyped-call]
    with TemporaryDirectory() as folder:
        examples = load_dataset(export, cache_dir=folder)["train"]
        settings = SFTConfig(
            output_dir=folder,
            max_length=None,
            max_steps=2,
            per_device_train_batch_size=1,
            logging_steps=1,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            save_strategy="no",
        )
        model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
        trainer = SFTTrainer(model, args=settings, train_dataset=examples, processing_class=processor)
        targets = []
        for example in trainer.train_dataset:
            labels = trainer.data_collator([example])["labels"][0]
            targets.append(labels[labels != -100].tolist())
        trainer.train()
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    sys.stdout.write(json.dumps({"targets": targets, "losses": losses}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
