/** The device models that `-device` knows, and the texts of `-device help`. */

import type { DeviceModel } from './device-model.ts';
import { framebuffer } from './display/framebuffer.ts';
import { isaDebugExit } from './misc/debug-exit.ts';
import { isaDebugcon } from './misc/debugcon.ts';
import { edu } from './misc/edu.ts';
import { ivshmemPlain } from './misc/ivshmem.ts';
import { pciTestdev } from './misc/pci-testdev.ts';
import { roads } from './misc/roads.ts';
import { xche } from './misc/xche.ts';
import { e1000 } from './net/e1000/e1000.ts';
import { pciBridge } from './pci/pci-bridge.ts';
import { vfioPci } from './vfio/vfio-pci.ts';
import { vfioPlatform } from './vfio/vfio-platform.ts';

const models: readonly DeviceModel[] = [
  pciBridge,
  isaDebugExit,
  isaDebugcon,
  e1000,
  edu,
  framebuffer,
  ivshmemPlain,
  pciTestdev,
  roads,
  xche,
  vfioPci,
  vfioPlatform,
];

export const findModel = (name: string): DeviceModel | undefined => models.find((model) => model.name === name);
export const modelNames = (): readonly string[] => models.map((model) => model.name);

/** What `-device help` prints: models under their category, categories and names in alphabetical order. */
export function deviceHelp(): string {
  const categories = [...new Set(models.map((model) => model.category))].sort();
  const sections = categories.map((category) => {
    const lines = models
      .filter((model) => model.category === category)
      .map((model) => `name "${model.name}", bus ${model.bus}, desc "${model.description}"`)
      .sort();
    return `${category} devices:\n${lines.join('\n')}\n`;
  });
  return sections.join('\n');
}
