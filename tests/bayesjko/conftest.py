"""What tests of several files share."""

from functools import partial

import pytest

from bayesjko.inference import training


@pytest.fixture(scope="module")
def briefly(request):
    """Networks are trained as the file's own TRAINING says: for seconds, in large batches."""
    with pytest.MonkeyPatch.context() as patch:
        brief = partial(training.Training, **request.module.TRAINING)
        patch.setattr(training, "Training", brief)
        yield
