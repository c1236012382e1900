/**
 * The import law, checked: who may import whom, and no cycles between files. A room may import itself and what its row
 * names; rooms are folders, the longest matching prefix counts. Tests and scripts may import anything.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

const root = join(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), '..');

/** Files that every room of src may import: address spaces, events and texts of users' values, which import nothing. */
const GROUND = ['src/address.ts', 'src/event.ts', 'src/foreign-value.ts'];
/** Room → what it may import besides itself and the ground. */
const LAW = {
  lang: [],
  'src/address.ts': [],
  'src/event.ts': [],
  'src/foreign-value.ts': [],
  'src/hardware': ['lang/isa'],
  'src/linux/uapi': [],
  'src/linux/core': ['src/hardware', 'src/linux/uapi'],
  'src/linux/kvm': ['src/hardware', 'src/linux/uapi', 'src/linux/core'],
  'src/linux/iommu': ['src/hardware', 'src/linux/uapi', 'src/linux/core'],
  'src/linux/pci': ['src/hardware', 'src/linux/uapi', 'src/linux/core', 'src/linux/iommu'],
  'src/linux/platform': ['src/hardware', 'src/linux/uapi', 'src/linux/core', 'src/linux/iommu'],
  'src/linux/iommufd': ['src/hardware', 'src/linux/uapi', 'src/linux/core', 'src/linux/iommu'],
  'src/linux/vfio': [
    'src/hardware',
    'src/linux/uapi',
    'src/linux/core',
    'src/linux/iommu',
    'src/linux/iommufd',
    'src/linux/pci',
    'src/linux/platform',
  ],
  'src/linux/mdev': ['src/hardware', 'src/linux/uapi', 'src/linux/core', 'src/linux/vfio'],
  // A device model is handed an opaque kvm pointer and may read the guest with it, and with nothing else of KVM.
  'src/linux/drivers': [
    'src/hardware',
    'src/linux/uapi',
    'src/linux/core',
    'src/linux/pci',
    'src/linux/platform',
    'src/linux/vfio',
    'src/linux/mdev',
    'src/linux/kvm/guest-memory.ts',
  ],
  // A user process: the system-call interface and the ELF reader.
  'src/qemu': ['src/linux/uapi', 'lang/object'],
  'src/observe': [],
  'src/cli': ['lang', 'src/hardware', 'src/linux', 'src/qemu', 'src/observe'],
};
/** Packages a room may import; Node's own modules are for the command line alone. */
const PACKAGES = {
  lang: [],
  'lang/syntax': ['chevrotain'],
  src: ['node:assert'],
  'src/cli': ['yargs', 'jiti', 'node:'],
};

const within = (path, room) => path === room || path.startsWith(`${room}/`);
const longest = (rooms, path) => rooms.filter((room) => within(path, room)).sort((a, b) => b.length - a.length)[0];

function sources(folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'));
}

const IMPORT = /(?:^|\n)\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s)?\s*['"]([^'"]+)['"]/g;
/** Every import of a file, type-only ones too: a type is knowledge as well. */
const importsOf = (text) => [...text.matchAll(IMPORT)].map((match) => match[1]);

const problems = [];
const graph = new Map();
for (const file of [...sources('lang'), ...sources('src')]) {
  const room = longest(Object.keys(LAW), file);
  if (room === undefined) problems.push(`${file}: lies in no room of the law (scripts/lint-imports.js)`);
  const edges = [];
  for (const target of importsOf(readFileSync(join(root, file), 'utf8'))) {
    if (!target.startsWith('.')) {
      const allowed = PACKAGES[longest(Object.keys(PACKAGES), file) ?? ''] ?? [];
      if (
        !allowed.some(
          (name) => target === name || target.startsWith(`${name}/`) || (name.endsWith(':') && target.startsWith(name)),
        )
      ) {
        problems.push(`${file}: may not import the package ${target}`);
      }
      continue;
    }
    const path = normalize(relative(root, join(root, dirname(file), target)));
    edges.push(path);
    const ground = room !== 'lang' && GROUND.includes(path);
    const lawful =
      room !== undefined && (within(path, room) || ground || LAW[room].some((other) => within(path, other)));
    if (!lawful) problems.push(`${file}: ${room} may not import ${path}`);
  }
  graph.set(file, edges);
}

/** Depth-first search for cycles; each is reported once, at the file where it closes. */
const state = new Map();
function visit(file, trail) {
  if (state.get(file) === 'done') return;
  if (state.get(file) === 'open') {
    problems.push(`cycle: ${[...trail.slice(trail.indexOf(file)), file].join(' → ')}`);
    return;
  }
  state.set(file, 'open');
  for (const next of graph.get(file) ?? []) visit(next, [...trail, file]);
  state.set(file, 'done');
}
for (const file of graph.keys()) visit(file, []);

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`imports: ${graph.size} files keep the law`);
