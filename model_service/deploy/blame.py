"""Whether a failed deployment is the model's fault. Pure."""

from __future__ import annotations

from model_service.deploy.canary import Unasked
from model_service.deploy.rollout import Failed
from model_service.deploy.smoke import Refused, Unreached


def blames(error: Exception, *, another: bool, same_image: bool, ready: bool) -> bool:
    """Whether the champion is to be withdrawn for this error.

    Only when the website now serves `another` model, or none: the same model as it was before is still good. Then for wrong
    or slow answers; for pods that do not come up if they run the image that was proved before (`same_image`), else the
    image is to blame. Not when the canary was never asked, nor for an address at which nobody answers while every pod is
    `ready`, nor for what the cluster, its rights or deploy itself did.
    """
    if not another or isinstance(error, Unasked):
        return False
    if isinstance(error, Unreached):
        return same_image and not ready
    if isinstance(error, Failed):
        return same_image
    return isinstance(error, Refused)
