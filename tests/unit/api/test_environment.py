"""Environment variables that only the platform sets."""

from __future__ import annotations

import pytest

from klever.api.environment import is_reserved
from klever.controllers.env import reserved_variables

_HOSTILE = """
LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT GCONV_PATH GLIBC_TUNABLES MALLOC_TRACE MALLOC_CONF LOCPATH NLSPATH HOSTALIASES
RES_OPTIONS TZDIR BASH_ENV BASH_FUNC_ls BASHOPTS ENV SHELLOPTS PS4 IFS PATH HOME TMPDIR XDG_CONFIG_HOME PYTHONPATH
PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PERL5LIB PERL5OPT PERLLIB RUBYOPT RUBYLIB NODE_OPTIONS NODE_PATH LUA_INIT
JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH ORT_TENSORRT_EXTRA_PLUGIN_LIB_PATHS OMP_TOOL_LIBRARIES
CUDA_INJECTION64_PATH OPENSSL_CONF SSL_CERT_FILE SSLKEYLOGFILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE HTTP_PROXY http_proxy
No_Proxy ALL_PROXY DOTNET_STARTUP_HOOKS CORECLR_PROFILER_PATH GIT_SSH_COMMAND NETRC
"""
HOSTILE = _HOSTILE.split()
PLATFORM = ["KLEVER_TERMINATION_LOG", "KLEVER_PROCESS", "klever_token", "Klever_X"]
_HARMLESS = """
A INPUTS OUTPUTS USING_ORMBFILE OMP_NUM_THREADS CUDA_VISIBLE_DEVICES TF_CPP_MIN_LOG_LEVEL ENVIRONMENT PATHS HOMEPAGE
TEMPERATURE NODE_ENV MALLOC_ARENA_MAX PROXY_MODE TZ LANG LC_ALL MODEL_STORE MY_PATH _ TMPDIRS KLEVERNESS
"""
HARMLESS = _HARMLESS.split()


@pytest.mark.parametrize("name", [*HOSTILE, *PLATFORM])
def test_a_built_in_runtime_or_task_is_not_given_it(name: str) -> None:
    violations = reserved_variables([{"name": "A"}, {"name": name, "value": "x"}])
    assert [violation.field for violation in violations] == [f"env[{name}]"]


@pytest.mark.parametrize("name", PLATFORM)
def test_a_command_is_not_given_the_platforms(name: str) -> None:
    assert is_reserved(name, own_command=True)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_command_may_have_what_loaders_and_interpreters_read(name: str) -> None:
    assert not list(reserved_variables([{"name": name, "value": "x"}], own_command=True))


@pytest.mark.parametrize("name", HARMLESS)
def test_others_pass(name: str) -> None:
    assert not list(reserved_variables([{"name": name, "value": "x"}]))
