/**
 * The driver core (drivers/base: core.c, bus.c, dd.c, class.c): devices enter and leave, drivers are matched, bound and
 * unbound, and sysfs shows it: /sys/devices, /sys/bus/BUS, /sys/class/CLASS, with the attributes one binds by.
 */

import { strict as assert } from 'node:assert';
import type { EventStream } from '../../event.ts';
import { EBUSY, EEXIST, EINVAL, ENODEV, ENXIO } from '../uapi/errno.ts';
import type { Bus, Device, Driver } from './device.ts';
import {
  deviceAdd,
  deviceDel,
  driverDetach,
  driverProbe,
  driverRegister,
  driverUnregister,
  kobjectUevent,
} from './events.ts';
import { addPowerDirectory } from './power.ts';
import { type Sysfs, sysfsEquals } from './sysfs.ts';

/** What the driver core needs of the kernel. */
export interface DeviceHost {
  readonly sysfs: Sysfs;
  readonly stream: EventStream;
  printk(text: string): void;
  refuse(errno: number, because: string): number;
}

/** The name must be shown again with its newline and NUL, in one page. */
const LONGEST_OVERRIDE = 4095;

/** subsys_private: a bus with what is on it, in order of arrival. */
interface BusState {
  readonly bus: Bus;
  readonly devices: Device[];
  readonly drivers: Driver[];
  autoprobe: boolean;
}

/** kobject_actions. */
const UEVENT_ACTIONS = ['add', 'remove', 'change', 'move', 'online', 'offline', 'bind', 'unbind'];
/** kobject_action_args: what may follow the action. */
const UEVENT_ARGUMENTS = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}( [a-z\d]+=[a-z\d]*)*$/i;

/** All buses, classes and devices of one host. */
export class DeviceModel {
  readonly #host: DeviceHost;
  readonly #buses = new Map<string, BusState>();
  readonly #devices = new Set<Device>();
  /** Directories between a parent and its class devices, which go with the last of them (glue directories). */
  readonly #glue = new Set<string>();

  constructor(host: DeviceHost) {
    this.#host = host;
    for (const path of ['bus', 'class', 'devices/virtual', 'kernel']) host.sysfs.directory(`/sys/${path}`);
  }

  /** bus_register. -EEXIST if the name is taken. */
  addBus(bus: Bus): number {
    if (this.#buses.has(bus.name)) return this.#host.refuse(EEXIST, `bus ${bus.name} is registered already`);
    const state: BusState = { bus, devices: [], drivers: [], autoprobe: true };
    this.#buses.set(bus.name, state);
    const { sysfs } = this.#host;
    const path = `/sys/bus/${bus.name}`;
    sysfs.directory(`${path}/devices`);
    sysfs.directory(`${path}/drivers`);
    sysfs.attribute(`${path}/drivers_autoprobe`, {
      mode: 0o644,
      show: () => (state.autoprobe ? '1\n' : '0\n'),
      // drivers_autoprobe_store looks at the first character only.
      store: (text) => {
        state.autoprobe = !text.startsWith('0');
        return text.length;
      },
    });
    sysfs.attribute(`${path}/drivers_probe`, { mode: 0o200, store: (text) => this.#probeByName(state, text) });
    sysfs.attribute(`${path}/uevent`, { mode: 0o200, store: (text) => this.#synthesiseUevent(path, text) });
    return 0;
  }

  /** class_register: /sys/class/NAME. -EEXIST if the name is taken. */
  addClass(name: string): number {
    const path = `/sys/class/${name}`;
    return this.#host.sysfs.has(path) ? this.#duplicate(path) : this.#host.sysfs.directory(path);
  }

  /** class_unregister. */
  removeClass(name: string): void {
    this.#host.sysfs.remove(`/sys/class/${name}`);
  }

  /** Devices on a bus, in order of arrival. */
  devicesOn(bus: Bus): readonly Device[] {
    return this.#state(bus).devices;
  }

  /** bus_find_device_by_name. */
  find(bus: Bus, name: string): Device | undefined {
    return this.#state(bus).devices.find((device) => sysfsEquals(name, device.name));
  }

  /**
   * device_add: the directory, its links and attributes, then a driver if one matches (a failed probe does not fail the add).
   * `ready` runs when the directory is there and no driver has been asked (BUS_NOTIFY_ADD_DEVICE). -EEXIST if the directory
   * is there already.
   */
  add(device: Device, ready?: () => void): number {
    const { sysfs } = this.#host;
    const path = this.#pathOf(device);
    if (sysfs.has(path)) return this.#duplicate(path);
    device.path = path;
    this.#devices.add(device);
    sysfs.directory(path);
    sysfs.attribute(`${path}/uevent`, {
      mode: 0o644,
      show: () => ueventText(device),
      store: (text) => {
        const result = this.#synthesiseUevent(path, text);
        if (result < 0) {
          const kind = device.driver?.name ?? device.bus?.name ?? device.class ?? '';
          this.#host.printk(`${kind} ${device.name}: uevent: failed to send synthetic uevent: ${result}`);
        }
        return result;
      },
    });
    addPowerDirectory(sysfs, path);
    if (device.number !== undefined) {
      const { major, minor } = device.number;
      sysfs.attribute(`${path}/dev`, { mode: 0o444, show: () => `${major}:${minor}\n` });
    }
    if (device.class !== undefined) {
      sysfs.link(`${path}/subsystem`, `/sys/class/${device.class}`);
      // A device of a class below a device of a bus says which.
      if (device.parent !== undefined) sysfs.link(`${path}/device`, device.parent.path);
      sysfs.link(`/sys/class/${device.class}/${device.name}`, path);
    }
    const { stream } = this.#host;
    if (deviceAdd.on) deviceAdd(stream, { device: device.name, bus: device.bus?.name ?? '', path });
    if (kobjectUevent.on) kobjectUevent(stream, { action: 'add', path });
    if (device.bus !== undefined) this.#addToBus(device, this.#state(device.bus), ready);
    else ready?.();
    return 0;
  }

  /** sysfs_warn_dup. */
  #duplicate(path: string): number {
    this.#host.printk(`sysfs: cannot create duplicate filename '${path.slice('/sys'.length)}'`);
    return this.#host.refuse(EEXIST, `${path} exists already`);
  }

  /** device_del: unbound from its driver, then gone with everything below it. */
  remove(device: Device): void {
    if (!this.#devices.delete(device)) return;
    const { sysfs } = this.#host;
    if (device.class !== undefined) sysfs.remove(`/sys/class/${device.class}/${device.name}`);
    if (device.bus !== undefined) {
      this.detach(device);
      const state = this.#state(device.bus);
      state.devices.splice(state.devices.indexOf(device), 1);
      sysfs.remove(`/sys/bus/${device.bus.name}/devices/${device.name}`);
    }
    const { stream } = this.#host;
    if (deviceDel.on) deviceDel(stream, { device: device.name, path: device.path });
    if (kobjectUevent.on) kobjectUevent(stream, { action: 'remove', path: device.path });
    sysfs.remove(device.path);
    const above = device.path.slice(0, device.path.lastIndexOf('/'));
    if (this.#glue.has(above) && sysfs.isEmpty(above)) {
      this.#glue.delete(above);
      sysfs.remove(above);
    }
  }

  /** driver_register: its directory, then every unbound device that matches. -EBUSY if the name is taken on the bus. */
  addDriver(driver: Driver): number {
    const state = this.#state(driver.bus);
    if (state.drivers.some(({ name }) => name === driver.name)) {
      this.#host.printk(`Error: Driver '${driver.name}' is already registered, aborting...`);
      return this.#host.refuse(EBUSY, `bus ${driver.bus.name} has a driver ${driver.name} already`);
    }
    state.drivers.push(driver);
    const { sysfs } = this.#host;
    const path = driverPath(driver);
    sysfs.directory(path);
    sysfs.attribute(`${path}/bind`, { mode: 0o200, store: (text) => this.#bindByName(state, driver, text) });
    sysfs.attribute(`${path}/unbind`, { mode: 0o200, store: (text) => this.#unbindByName(state, driver, text) });
    sysfs.attribute(`${path}/uevent`, { mode: 0o200, store: (text) => this.#synthesiseUevent(path, text) });
    if (driver.module !== undefined) {
      sysfs.link(`${path}/module`, `/sys/module/${driver.module}`);
      sysfs.link(`/sys/module/${driver.module}/drivers/${driver.bus.name}:${driver.name}`, path);
    }
    if (driverRegister.on) driverRegister(this.#host.stream, { driver: driver.name, bus: driver.bus.name });
    if (state.autoprobe) this.probeAll(driver);
    return 0;
  }

  /** driver_attach: offer the driver every device of its bus that has none and matches. */
  probeAll(driver: Driver): void {
    for (const device of [...this.#state(driver.bus).devices]) {
      if (device.driver === undefined && matches(device, driver)) this.#probe(device, driver);
    }
  }

  /** driver_unregister: its devices lose it. */
  removeDriver(driver: Driver): void {
    const state = this.#state(driver.bus);
    for (const device of [...state.devices]) if (device.driver === driver) this.detach(device);
    state.drivers.splice(state.drivers.indexOf(driver), 1);
    const { sysfs } = this.#host;
    if (driver.module !== undefined)
      sysfs.remove(`/sys/module/${driver.module}/drivers/${driver.bus.name}:${driver.name}`);
    sysfs.remove(driverPath(driver));
    if (driverUnregister.on) driverUnregister(this.#host.stream, { driver: driver.name, bus: driver.bus.name });
  }

  /** device_driver_attach: bind without asking match. 0, -EBUSY if it has a driver, or what probe returned. */
  attach(device: Device, driver: Driver): number {
    if (!this.#devices.has(device)) return this.#host.refuse(ENODEV, `device ${device.name} is gone`);
    if (device.driver !== undefined) {
      return this.#host.refuse(EBUSY, `device ${device.name} is bound to driver ${device.driver.name}`);
    }
    return this.#probe(device, driver);
  }

  /** device_driver_detach: the driver's remove, then the links. */
  detach(device: Device): void {
    const { driver } = device;
    if (driver === undefined) return;
    this.#unlinkDriver(device, driver);
    driver.remove?.(device);
    driver.bus.dmaCleanup?.(device, driver);
    device.driver = undefined;
    if (driverDetach.on) driverDetach(this.#host.stream, { device: device.name, driver: driver.name });
    if (kobjectUevent.on) kobjectUevent(this.#host.stream, { action: 'unbind', path: device.path });
  }

  /** device_attach: the first matching driver whose probe succeeds. True if the device has a driver now. */
  #findDriver(state: BusState, device: Device): boolean {
    for (const driver of state.drivers) {
      if (device.driver === undefined && matches(device, driver)) this.#probe(device, driver);
    }
    return device.driver !== undefined;
  }

  /** The driver is offered the device. */
  #probe(device: Device, driver: Driver): number {
    const result = this.#reallyProbe(device, driver);
    const { stream } = this.#host;
    if (driverProbe.on) driverProbe(stream, { device: device.name, driver: driver.name, result });
    if (kobjectUevent.on && result === 0) kobjectUevent(stream, { action: 'bind', path: device.path });
    return result;
  }

  /** really_probe: the driver's links are there while it probes. */
  #reallyProbe(device: Device, driver: Driver): number {
    const { sysfs } = this.#host;
    device.driver = driver;
    const denied = driver.bus.dmaConfigure?.(device, driver) ?? 0;
    if (denied < 0) {
      device.driver = undefined;
      return denied;
    }
    sysfs.link(`${driverPath(driver)}/${device.name}`, device.path);
    sysfs.link(`${device.path}/driver`, driverPath(driver));
    const result = driver.probe(device);
    if (result >= 0) return 0;
    this.#unlinkDriver(device, driver);
    driver.bus.dmaCleanup?.(device, driver);
    device.driver = undefined;
    // "Not mine after all" is no failure.
    if (result !== -ENODEV && result !== -ENXIO) {
      this.#host.printk(`${driver.name}: probe of ${device.name} failed with error ${result}`);
    }
    return result;
  }

  #unlinkDriver(device: Device, driver: Driver): void {
    this.#host.sysfs.remove(`${driverPath(driver)}/${device.name}`);
    this.#host.sysfs.remove(`${device.path}/driver`);
  }

  /** kobject_synth_uevent: an action word, to listeners on a netlink socket; the model has none, so only the text is checked. */
  #synthesiseUevent(path: string, text: string): number {
    const line = text.replace(/[\n\0]$/, '');
    const space = line.indexOf(' ');
    const action = space < 0 ? line : line.slice(0, space);
    const log = (message: string) => this.#host.printk(`synth uevent: ${path.slice('/sys'.length)}: ${message}`);
    if (!UEVENT_ACTIONS.includes(action)) {
      log('unknown uevent action string');
      return this.#host.refuse(EINVAL, `a uevent begins with one of ${UEVENT_ACTIONS.join(', ')}`);
    }
    if (space >= 0 && !UEVENT_ARGUMENTS.test(line.slice(space + 1))) {
      log('incorrect uevent action arguments');
      return this.#host.refuse(EINVAL, `after ${action} come a UUID and KEY=VALUE pairs`);
    }
    if (kobjectUevent.on) kobjectUevent(this.#host.stream, { action, path });
    return text.length;
  }

  #addToBus(device: Device, state: BusState, ready?: () => void): void {
    const { sysfs } = this.#host;
    const { bus } = state;
    state.devices.push(device);
    sysfs.link(`${device.path}/subsystem`, `/sys/bus/${bus.name}`);
    sysfs.link(`/sys/bus/${bus.name}/devices/${device.name}`, device.path);
    if (bus.driverOverride === true) {
      sysfs.attribute(`${device.path}/driver_override`, {
        mode: 0o644,
        show: () => `${device.driverOverride ?? '(null)'}\n`,
        // driver_set_override: up to the newline; an empty name takes the override away.
        store: (text) => {
          if (text.length >= LONGEST_OVERRIDE) {
            return this.#host.refuse(EINVAL, `a driver_override has fewer than ${LONGEST_OVERRIDE} bytes`);
          }
          const name = text.split('\n')[0] ?? '';
          device.driverOverride = name === '' ? undefined : name;
          return text.length;
        },
      });
    }
    ready?.();
    if (state.autoprobe) this.#findDriver(state, device);
  }

  #probeByName(state: BusState, text: string): number {
    const device = state.devices.find(({ name }) => sysfsEquals(text, name));
    if (device === undefined) return this.#host.refuse(ENODEV, `no device ${text.trim()} on bus ${state.bus.name}`);
    if (device.driver === undefined) this.#findDriver(state, device);
    return text.length;
  }

  #bindByName(state: BusState, driver: Driver, text: string): number {
    const device = state.devices.find(({ name }) => sysfsEquals(text, name));
    if (device === undefined) return this.#host.refuse(ENODEV, `no device ${text.trim()} on bus ${state.bus.name}`);
    if (!matches(device, driver)) {
      return this.#host.refuse(
        ENODEV,
        `bus ${state.bus.name} does not match device ${device.name} with driver ${driver.name}`,
      );
    }
    const error = this.attach(device, driver);
    return error < 0 ? error : text.length;
  }

  #unbindByName(state: BusState, driver: Driver, text: string): number {
    const device = state.devices.find(({ name }) => sysfsEquals(text, name));
    if (device === undefined || device.driver !== driver) {
      return this.#host.refuse(ENODEV, `driver ${driver.name} has no device ${text.trim()}`);
    }
    this.detach(device);
    return text.length;
  }

  /** get_device_parent: where the directory of a device goes. */
  #pathOf(device: Device): string {
    const { parent, class: kind, name } = device;
    if (parent !== undefined) assert(parent.path !== '', `device ${name} was added before its parent ${parent.name}`);
    if (kind === undefined) return `${parent?.path ?? '/sys/devices'}/${name}`;
    // Below a device of a class no directory is put between.
    if (parent?.class !== undefined) return `${parent.path}/${name}`;
    const glue = `${parent?.path ?? '/sys/devices/virtual'}/${kind}`;
    this.#glue.add(glue);
    return `${glue}/${name}`;
  }

  #state(bus: Bus): BusState {
    const state = this.#buses.get(bus.name);
    assert(state !== undefined, `bus ${bus.name} is used before it is registered`);
    return state;
  }
}

const driverPath = (driver: Driver) => `/sys/bus/${driver.bus.name}/drivers/${driver.name}`;

/** driver_match_device, with the override that pci and platform look at first. */
const matches = (device: Device, driver: Driver): boolean =>
  device.driverOverride !== undefined ? device.driverOverride === driver.name : driver.bus.match(device, driver);

/** dev_uevent: the environment of a device's events. */
function ueventText(device: Device): string {
  const lines: string[] = [];
  if (device.number !== undefined) {
    const { major, minor, node, mode } = device.number;
    lines.push(`MAJOR=${major}`, `MINOR=${minor}`, `DEVNAME=${node}`);
    if (mode !== undefined) lines.push(`DEVMODE=${mode.toString(8).padStart(4, '0')}`);
  }
  if (device.driver !== undefined) lines.push(`DRIVER=${device.driver.name}`);
  lines.push(...(device.bus?.uevent?.(device) ?? []));
  return lines.map((line) => `${line}\n`).join('');
}
