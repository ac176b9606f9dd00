"""Simulated devices on a channel as bad as you like, for tests of what is built around a Join Server.

    device      SimulatedDevice: joins, checks what it is answered, sends data, rekeys and rejoins
    channel     Channel: loses, doubles, holds back; in front of a network, and itself one
    network     yours: a callable from an Uplink to the downlinks that answer it
    trace       Trace: what was said by whom, as text or as a Mermaid sequence diagram

Nobody sleeps: time is a Clock that the test moves.  All that is drawn follows from a seed, so that
what failed fails again.  pytest has these as fixtures, see lorajs.pytest_plugin; nothing here needs
pytest."""

from .channel import AIRTIME, RX, Channel, Downlinks, Network, Uplink
from .device import NotHeard, SimulatedDevice
from .http import serve
from .network import Data, SimulatedJoinServer, SimulatedNetwork
from .trace import DEVICE, JOIN_SERVER, NETWORK, Clock, Entry, Trace

__all__ = [
    "DEVICE", "NETWORK", "JOIN_SERVER", "AIRTIME", "RX", "Clock", "Entry", "Trace", "Uplink", "Downlinks", "Network",
    "Channel", "NotHeard", "SimulatedDevice", "Data", "SimulatedNetwork", "SimulatedJoinServer", "serve",
]
