"""Whether a candidate should take the champion's place: both scored on the same held-out pictures, then decided by rules.

`examine` does it all, for `judge` and for a promotion that finds another champion than was judged; docs/judging.md has the
rules and what a verdict says.
"""

from model_service.judging.examination import examine
from model_service.judging.rules import Rules
from model_service.judging.verdict import Verdict

__all__ = ["Rules", "Verdict", "examine"]
