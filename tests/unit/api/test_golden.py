"""The codec's golden objects, as messages."""

from tests.contract.codec import test_a_message_keeps_everything, test_every_field_of_a_spec_and_a_status_is_shown

__all__ = ["test_a_message_keeps_everything", "test_every_field_of_a_spec_and_a_status_is_shown"]
