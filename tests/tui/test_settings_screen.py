"""The settings screen: every setting is there, only allowed values come out, and the keyboard is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input, Select, Static, Switch

from nemochat.domain.sampling import InForce, Sampling, Source, in_force
from nemochat.personas.sampling_presets import Preset
from nemochat.settings import EngineSettings, InterfaceSettings, KvType, PictureProtocol, SamplingSettings, Settings, describe
from nemochat.settings_file import write_setting
from nemochat.tui.screens.picker import Picker
from nemochat.tui.screens.settings import SettingsScreen
from nemochat.tui.themes import built_in_folder, load_themes
from nemochat.tui.widgets.form_fields import Field
from tests.idle import until

GROUPS_SHOWN = ("interface", "engine", "sampling", "tools", "lore")

UNANSWERED: dict[str, object] = {"": "not answered"}


class Host(App[None]):
    """Shows the screen and keeps its answer."""

    def __init__(
        self,
        settings: Settings | None = None,
        locked: Mapping[str, str] | None = None,
        sampling: InForce | None = None,
        presets: Sequence[Preset] = (),
    ) -> None:
        super().__init__()
        self.settings, self.locked, self.sampling, self.presets = settings or Settings(), locked or {}, sampling, presets
        self.answer: dict[str, object] | None = UNANSWERED

    def on_mount(self) -> None:
        for theme in load_themes(built_in_folder(), Path("/nonexistent"))[0]:
            self.register_theme(theme)
        self.theme = "nemochat-dark"
        self.push_screen(SettingsScreen(self.settings, self.locked, self.sampling, self.presets, self.misplaced), self.keep)

    async def misplaced(self, changes: Mapping[str, object]) -> str:
        """As on a machine with one device."""
        wanted = changes.get("engine.device", "auto")
        return "" if wanted in ("auto", "CUDA0") else f"There is no device {wanted} here. There are CUDA0 (a card) and the processor (cpu)."

    def keep(self, answer: dict[str, object] | None) -> None:
        self.answer = answer

    def row(self, key: str) -> Field:
        return next(row for row in self.screen.query(Field) if row.key == key)

    def said(self, selector: str) -> str:
        return str(self.screen.query_one(selector, Static).content)


def focused(app: Host) -> Widget | None:
    return app.focused


async def type_into(pilot: Pilot[None], app: Host, key: str, text: str) -> None:
    field = app.row(key).query_one(Input)
    field.focus()
    await pilot.pause()
    field.value = text
    await pilot.pause()


async def save(pilot: Pilot[None]) -> None:
    await pilot.press("ctrl+s")
    await pilot.pause()


async def test_every_setting_of_the_groups_is_there() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        shown = [row.key for row in app.screen.query(Field)]
        assert shown == [info.key for group in GROUPS_SHOWN for info in describe(group)]


async def test_nothing_changed_nothing_saved() -> None:
    settings = Settings(
        engine=EngineSettings(mmap=True, kv_type=KvType.F16, hang_seconds=0.1),
        sampling=SamplingSettings(temperature=0.123456789, stop=("a", "\n"), seed=7),
        interface=InterfaceSettings(theme="not there", pictures=PictureProtocol.SIXEL),
    )
    app = Host(settings)
    async with app.run_test() as pilot:
        await pilot.pause()
        await save(pilot)
        assert app.answer == {}


async def test_escape_changes_nothing() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        await type_into(pilot, app, "engine.threads", "3")
        await pilot.press("escape")
        await pilot.pause()
        assert app.answer is None


async def test_what_is_typed_comes_out_and_can_be_written(tmp_path: Path) -> None:
    """One screen for all: the rows know nothing of each other."""
    typed: dict[str, tuple[str, object]] = {
        "engine.threads": ("3", 3),
        "engine.gpu_layers": (" -1 ", -1),
        "sampling.temperature": ("1", 1.0),
        "sampling.seed": ("5", 5),
        "sampling.stop": ('["END"]', ("END",)),
        "interface.notify_seconds": ("2.5", 2.5),
    }
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        for number, (key, (text, _)) in enumerate(typed.items(), 1):
            await type_into(pilot, app, key, text)
            assert f"saves {number} change" in app.said("#settings-hint")
        await save(pilot)
        assert app.answer == {key: value for key, (_, value) in typed.items()}
    for key, (_, value) in typed.items():
        write_setting(tmp_path / "config.toml", key, value)


async def test_an_optional_value_can_be_emptied() -> None:
    app = Host(Settings(sampling=SamplingSettings(seed=7, stop=("x",))))
    async with app.run_test() as pilot:
        await pilot.pause()
        await type_into(pilot, app, "sampling.seed", "")
        await type_into(pilot, app, "sampling.stop", "")
        await save(pilot)
        assert app.answer == {"sampling.seed": None, "sampling.stop": None}


async def test_a_value_that_is_not_allowed_is_explained_and_not_accepted() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await type_into(pilot, app, "sampling.top_p", "2")
        problem = app.row("sampling.top_p").query_one(".problem", Static)
        assert "a number more than 0 and at most 1" in str(problem.content)
        assert problem.region.height == 1
        await type_into(pilot, app, "engine.threads", "4")
        assert "1 not allowed" in app.said("#settings-hint")
        await save(pilot)
        assert app.answer == UNANSWERED
        assert app.focused is app.row("sampling.top_p").query_one(Input)
        await type_into(pilot, app, "sampling.top_p", "0.5")
        assert app.row("sampling.top_p").query_one(".problem").region.height == 0
        await save(pilot)
        assert app.answer == {"engine.threads": 4, "sampling.top_p": 0.5}


async def test_a_wrong_value_that_the_filter_hides_is_shown_again() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        await type_into(pilot, app, "sampling.top_p", "2")
        app.screen.query_one("#settings-filter", Input).value = "theme"
        await pilot.pause()
        assert not app.row("sampling.top_p").display
        await save(pilot)
        await pilot.pause()
        assert app.focused is app.row("sampling.top_p").query_one(Input)


async def test_a_change_that_is_taken_back_is_none() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        await type_into(pilot, app, "engine.threads", "3")
        await type_into(pilot, app, "engine.threads", "0")
        await save(pilot)
        assert app.answer == {}


async def test_switches_and_menus_by_keyboard_alone() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press(*"nemochat")  # fits nothing: there is no name like that
        await pilot.pause()
        assert "No setting fits “nemochat”" in app.said("#settings-nothing")
        await pilot.press(*["backspace"] * 8, *"flash_", "down")
        await pilot.pause()
        assert isinstance(focused(app), Switch)
        assert "q8_0 needs it" in app.said("#settings-help")
        assert "when the model is loaded again" in app.said("#settings-help")
        await pilot.press("space", "ctrl+f", *["backspace"] * 6, *"mmap", "enter")
        await pilot.pause()
        assert isinstance(focused(app), Select)
        await pilot.press("enter", "down", "enter")
        await pilot.pause()
        await save(pilot)
        assert app.answer == {"engine.flash_attention": False, "engine.mmap": True}


async def test_the_arrows_pass_every_control_and_each_is_seen() -> None:
    app = Host(locked={"engine.batch": "NEMOCHAT_ENGINE_BATCH"})
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        passed, helps = [], {info.key: info.help for group in GROUPS_SHOWN for info in describe(group)}
        for _ in helps:
            await pilot.press("down")
            await pilot.pause()
            assert app.focused is not None
            row = app.focused.query_ancestor(Field)
            passed.append(row.key)
            assert app.screen.query_one("VerticalScroll").region.contains_region(app.focused.region)
            assert app.said("#settings-help").startswith(helps[row.key])
        assert passed == list(helps)


async def test_the_mouse_switches() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.click(app.row("interface.side_panes").query_one(Switch))
        await pilot.pause()
        assert str(app.row("interface.side_panes").query_one(".word", Static).content) == "off"
        await save(pilot)
        assert app.answer == {"interface.side_panes": False}


async def test_a_theme_is_chosen_by_its_shown_name() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.row("interface.theme").query_one(Select).focus()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press(*"Ember", "enter")
        await pilot.pause()
        await save(pilot)
        assert app.answer == {"interface.theme": "ember"}


async def test_what_is_set_elsewhere_is_shown_and_cannot_be_changed() -> None:
    locked = {"engine.threads": "NEMOCHAT_ENGINE_THREADS", "interface.mouse": "the command line"}
    app = Host(Settings(engine=EngineSettings(threads=5)), locked)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        row = app.row("engine.threads")
        assert str(row.query_one(".value", Static).content) == "5"
        assert "NEMOCHAT_ENGINE_THREADS" in str(row.query_one(".remark", Static).content)
        assert not row.query(Input)
        row.query_one(".value").focus()
        await pilot.pause()
        assert "It is set by NEMOCHAT_ENGINE_THREADS" in app.said("#settings-help")
        remark = app.row("interface.mouse").query_one(".remark", Static)
        assert len(str(remark.content)) <= remark.content_size.width


async def test_what_needs_the_model_to_be_loaded_again_says_so() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert "model reload" in str(app.row("engine.threads").query_one(".remark", Static).content)
        assert "next start" in str(app.row("interface.pictures").query_one(".remark", Static).content)
        assert str(app.row("sampling.top_k").query_one(".remark", Static).content) == ""


async def test_markup_in_a_value_is_shown_as_it_is() -> None:
    app = Host(Settings(interface=InterfaceSettings(theme="[red]x\x1b[31m"), sampling=SamplingSettings(stop=("[bold]",))))
    async with app.run_test() as pilot:
        await pilot.pause()
        label = app.row("interface.theme").query_one("SelectCurrent #label", Static).visual
        assert "[red]x[31m" in str(label)
        await pilot.press(*"[bold]")
        await pilot.pause()
        assert "“[bold]”" in app.said("#settings-nothing")


async def test_sampling_says_what_is_in_force_and_who_has_set_it() -> None:
    """Fails as it did: nobody could tell a temperature of 0 from one that was never set."""
    mine = SamplingSettings(temperature=0.0, top_k=7)
    layers = {Source.CONFIG: mine, Source.PERSONA: Sampling(top_k=3), Source.MODEL_FILE: Sampling(min_p=0.1, top_p=0.0)}
    app = Host(Settings(sampling=mine), sampling=in_force(layers))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()

        def row(name: str) -> tuple[str, str]:
            shown = app.row(f"sampling.{name}")
            remark = shown.query_one(".remark", Static)
            assert len(str(remark.content)) <= remark.content_size.width or name == "max_tokens"
            return shown.query_one(Input).value, str(remark.content)

        assert row("temperature") == ("0", "0 · config.toml")
        assert row("top_k") == ("7", "3 · the persona")
        assert row("min_p") == ("", "0.1 · the model's file")
        assert row("repeat_last_n") == ("", "64 · nemochat's default")
        assert row("max_tokens") == ("", "512 · nemochat's default")
        await type_into(pilot, app, "sampling.temperature", "")
        assert row("temperature") == ("", "changed")
        assert "Default: 0.8. Allowed: a number at least 0 and at most 10, auto, or nothing. In force: 0 (config.toml)." in app.said(
            "#settings-help"
        )
        await save(pilot)
        assert app.answer == {"sampling.temperature": None}


async def test_sampling_is_filled_in_from_a_preset_and_saved_only_then() -> None:
    presets = (Preset("Calm", SamplingSettings(temperature=0.3, stop=("END",))), Preset("Wild", SamplingSettings(temperature=2)))
    app = Host(Settings(sampling=SamplingSettings(top_k=9, seed=4)), presets=presets)
    async with app.run_test() as pilot:
        await pilot.press("ctrl+r")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, SettingsScreen))
        await pilot.press("ctrl+s")
        await until(lambda: app.answer is not UNANSWERED)
    assert app.answer == {"sampling.temperature": 0.3, "sampling.stop": ("END",), "sampling.top_k": None}


async def test_a_device_that_is_not_there_keeps_the_screen_open_with_what_was_typed() -> None:
    """Fails when changes are lost over a name that only the machine can judge, or when the sentence does not name the devices there."""
    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        await type_into(pilot, app, "engine.device", "CUDA3")
        await type_into(pilot, app, "engine.threads", "3")
        await pilot.press("ctrl+s")
        await until(lambda: "There is no device CUDA3 here." in app.said("#settings-help"))
        assert "CUDA0 (a card)" in app.said("#settings-help")
        assert app.answer is UNANSWERED
        await type_into(pilot, app, "engine.device", "CUDA0")
        await pilot.press("ctrl+s")
        await until(lambda: app.answer == {"engine.device": "CUDA0", "engine.threads": 3})


async def test_a_split_is_typed_with_commas() -> None:
    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        await type_into(pilot, app, "engine.tensor_split", "3; 1")
        assert "such as 3, 1" in str(app.row("engine.tensor_split").query_one(".problem", Static).content)
        await type_into(pilot, app, "engine.tensor_split", "3, 1")
        await pilot.press("ctrl+s")
        await until(lambda: app.answer == {"engine.tensor_split": (3.0, 1.0)})
