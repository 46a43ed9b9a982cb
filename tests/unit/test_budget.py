from __future__ import annotations

import pytest

from klever.budget import Budget
from klever.errors import ExhaustedError
from tests.errors import because


def test_a_budget_is_shared_and_given_back() -> None:
    budget = Budget(10, "manifests")
    with budget.held() as one, budget.held() as other:
        one(6)
        other(4)
        with pytest.raises(ExhaustedError, check=because("TOOMANYREQUESTS")):
            one(1)
    with budget.held() as again:
        again(10)


def test_callers_without_a_token_leave_room_for_others() -> None:
    budget = Budget(100, "answers")
    give_back = budget.take(75, anonymous=True)
    with pytest.raises(ExhaustedError, match="answers take 75 bytes"):
        budget.take(1, anonymous=True)
    budget.take(25)
    give_back()
    budget.take(70, anonymous=True)
