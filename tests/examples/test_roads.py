"""Road networks of the TNTP collection."""

import pytest

from examples.road_network.tntp import read_tntp

TRIANGLE = """<NUMBER OF ZONES> 2
<NUMBER OF NODES> 3
<FIRST THRU NODE> 3
<NUMBER OF LINKS> 4
<END OF METADATA>

~ init term capacity length free_flow_time b power speed toll type ;
  1 3 1 1 5.5 0 4 0 0 1 ;
  3 1 1 1 5.5 0 4 0 0 1 ;
  2 3 1 1 2.5 0 4 0 0 1 ;
  1 2 1 1 9 0 4 0 0 1 ;
"""


def test_zones_may_not_be_passed_through(tmp_path):
    (tmp_path / "triangle_net.tntp").write_text(TRIANGLE)
    roads = read_tntp(tmp_path / "triangle_net.tntp")
    assert roads.trips() == [(("from", 1), ("to", 2)), (("from", 2), ("to", 1))]
    assert roads.graph.in_degree(("from", 2)) == 0
    assert roads.graph.out_degree(("to", 2)) == 0
    assert roads.graph.edges[("from", 1), 3]["cost"] == 5.5
    assert roads.graph.number_of_edges() == 4


def test_where_all_nodes_are_through_nodes_none_is_split(tmp_path):
    (tmp_path / "triangle_net.tntp").write_text(TRIANGLE.replace("THRU NODE> 3", "THRU NODE> 1"))
    roads = read_tntp(tmp_path / "triangle_net.tntp")
    assert set(roads.graph) == {1, 2, 3}
    assert roads.trips() == [(1, 2), (2, 1)]


def test_broken_network_files_are_refused(tmp_path):
    file = tmp_path / "triangle_net.tntp"
    file.write_text(TRIANGLE.replace("LINKS> 4", "LINKS> 5"))
    with pytest.raises(ValueError, match="expected 5 links, found 4"):
        read_tntp(file)
    file.write_text("no network")
    with pytest.raises(ValueError, match="is not a TNTP network"):
        read_tntp(file)
    with pytest.raises(FileNotFoundError, match=r"other_net.tntp; beside it: triangle_net.tntp"):
        read_tntp(tmp_path / "other_net.tntp")


@pytest.mark.parametrize(("name", "links", "zones"), [("SiouxFalls", 76, 24), ("Anaheim", 914, 38)])
def test_real_networks(data_folder, name, links, zones):
    roads = read_tntp(data_folder / "roads_tntp" / f"{name}_net.tntp")
    assert roads.graph.number_of_edges() == links
    assert len(roads.trips()) == zones * (zones - 1)
    assert set(roads.positions) == (set(roads.graph) if name == "SiouxFalls" else set())
