"""The verdict on a count of instructions, and a count."""

import shutil

import pytest

from bench import instructions

KEY = "3.11.7 x86_64 GCC"


def test_five_percent_more_fails() -> None:
    assert instructions.verdict(1_050, {KEY: 1_000}, KEY)[0]
    fits, told = instructions.verdict(1_051, {KEY: 1_000}, KEY)
    assert not fits
    assert "more than 5 % above" in told


def test_five_percent_less_asks_for_a_snapshot() -> None:
    fits, told = instructions.verdict(940, {KEY: 1_000}, KEY)
    assert fits
    assert "--update" in told


def test_another_interpreter_is_not_compared() -> None:
    fits, told = instructions.verdict(5_000, {KEY: 1_000}, "3.12.1 x86_64 Clang")
    assert fits
    assert "no snapshot" in told


def test_without_valgrind_it_is_skipped_unless_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv(instructions.REQUIRE, raising=False)
    assert instructions.main([]) == 0
    assert "valgrind is not installed" in capsys.readouterr().out
    monkeypatch.setenv(instructions.REQUIRE, "redis,valgrind")
    assert instructions.main([]) == 1
