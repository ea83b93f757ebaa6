import { LabIcon } from '@jupyterlab/ui-components';

import containersSvg from '../style/icons/containers.svg';

/** A shipping container: the side bar's tab, and the settings. */
export const containersIcon = new LabIcon({
  name: 'nbcontainers:containers',
  svgstr: containersSvg
});
