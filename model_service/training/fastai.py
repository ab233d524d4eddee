"""The parts of fastai that training stands on, imported here so that its warnings, which only it can change, are not told."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from fastai.callback.mixup import MixUp as MixUp
    from fastai.vision.all import Adam as Adam
    from fastai.vision.all import Callback as Callback
    from fastai.vision.all import CancelFitException as CancelFitException
    from fastai.vision.all import CancelStepException as CancelStepException
    from fastai.vision.all import DataLoaders as DataLoaders
    from fastai.vision.all import IntToFloatTensor as IntToFloatTensor
    from fastai.vision.all import Learner as Learner
    from fastai.vision.all import Normalize as Normalize
    from fastai.vision.all import TensorCategory as TensorCategory
    from fastai.vision.all import TensorImage as TensorImage
    from fastai.vision.all import TfmdDL as TfmdDL
    from fastai.vision.all import accuracy as accuracy
    from fastai.vision.all import aug_transforms as aug_transforms
    from fastai.vision.all import default_split as default_split
    from fastai.vision.all import model_meta as model_meta
    from fastai.vision.all import noop as noop
    from fastai.vision.all import set_seed as set_seed
