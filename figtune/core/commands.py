"""The stage scripts as a user types them: the remedy of every error about something that is not there yet."""

from collections.abc import Mapping

EXTRACT = "python extract_content.py"
PREPARE = "python prepare_data.py"
SETUP = "python setup_model.py"
TRAIN = "python train_model.py"
TEST = "python test_model.py"
OF_STAGE: Mapping[str, str] = {"extract": EXTRACT, "prepare": PREPARE, "setup": SETUP, "train": TRAIN, "test": TEST}
