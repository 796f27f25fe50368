"""The comparison of encoders of text: what is drawn, what is scored, what is printed."""

from benchmarks import text


def test_as_many_texts_of_each_class_are_learnt_from_and_scored(tmp_path, monkeypatch):
    lines = ["sentiment,confidence,text"]
    lines += [f"good,1,{word} lovely day {i}" for i, word in enumerate(["a", "the", "one", "my"] * 5)]
    lines += [f"bad,1.0,{word} awful day {i}" for i, word in enumerate(["a", "the", "one", "my"] * 4)]
    lines += ["bad,0.4,nobody is sure"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    rows = text.read(tmp_path / "a.csv")
    assert sorted(name for name, _ in rows) == ["bad"] * 16 + ["good"] * 16
    monkeypatch.setattr(text, "ENCODERS", (("hashing", {}), ("tfidf", {"directions": 4})))
    found = text.measure(rows)
    assert (found["train"], found["test"], found["classes"]) == (22, 10, 2)
    assert all(own["uar"]["1.0"] > 0.9 for own in found["encoders"])
    assert "| `tfidf`, `directions: 4` |" in text.table(found)
