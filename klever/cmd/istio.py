"""The field `istio` of the file of `klever controllers --pods`.

istio:
  url: https://models.example.com      # the address of the gateway for users
  probe: http://10.0.0.1               # the address of the gateway for the controllers, by default `url`
  gateway: istio-system/models         # an existing Gateway; without it, Klever makes istio-system/klever
  namespace: istio-system              # the namespace of the gateway's pods; this is the default
  selector: {istio: ingressgateway}    # the labels of the gateway's pods; this is the default
  port: 80                             # the port of the Gateway that Klever makes; this is the default
  hosts: [models.example.com]          # the host names of users' requests; default: every name
  drainSeconds: 5                      # how long replicas that leave a route keep running; this is the default
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from klever.routers.istio import IstioSettings

__all__ = ["read_istio"]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text, not {value!r}")
    return value


def _url(value: Any) -> str:
    if urlsplit(_text(value)).scheme not in {"http", "https"} or not urlsplit(value).hostname:
        raise ValueError(f"must begin with http:// or https://, not {value!r}")
    return str(value)


def _gateway(value: Any) -> str:
    namespace, _, name = _text(value).partition("/")
    if not namespace or not name:
        raise ValueError(f"must be NAMESPACE/NAME, not {value!r}")
    return str(value)


def _labels(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not value or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(f"must be labels such as {{istio: ingressgateway}}, not {value!r}")
    return value


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 16:
        raise ValueError(f"must be a port, not {value!r}")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_DRAIN_S:
        raise ValueError(f"must be between 0 and {_MAX_DRAIN_S}, not {value!r}")
    return float(value)


def _hosts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of host names, not {value!r}")
    return tuple(map(_text, value))


_MAX_DRAIN_S: Final = 300
_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "url": ("url", _url),
    "probe": ("probe", _url),
    "gateway": ("gateway", _gateway),
    "namespace": ("namespace", _text),
    "selector": ("selector", _labels),
    "port": ("port", _port),
    "hosts": ("hosts", _hosts),
    "drainSeconds": ("drain_s", _seconds),
}


def read_istio(document: Any) -> IstioSettings:
    """Return the settings. Raises ValueError that names the field."""
    if not isinstance(document, dict) or "url" not in document:
        raise ValueError("istio.url: is required: the address of the gateway for users")
    if unknown := document.keys() - _FIELDS.keys():
        raise ValueError(f"istio: unknown field {min(unknown)!r}: must be one of {', '.join(_FIELDS)}")
    return IstioSettings(**dict(_setting(name, value) for name, value in document.items()))


def _setting(name: str, value: Any) -> tuple[str, Any]:
    setting, read = _FIELDS[name]
    try:
        return setting, read(value)
    except ValueError as error:
        raise ValueError(f"istio.{name}: {error}") from error
