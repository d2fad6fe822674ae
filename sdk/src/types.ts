/**
 * The messages of the API. Each name is a type and, for messages, a value that makes (`fromPartial`), encodes and
 * prints (`toJSON`) them; enums are numbers on the wire.
 */

export { Duration } from '@rivera/gen/google/protobuf/duration';
export { LedgerEntry } from '@rivera/gen/rivera/auction/v1/auction_service';
export { Resources } from '@rivera/gen/rivera/auction/v1/bid_service';
export {
  ActualLrp,
  ActualLrpKey,
  ActualLrpPresence,
  ActualLrpState,
  Crash,
  InternalRoute,
  NetInfo,
  PortMapping,
  PreferredAddress,
} from '@rivera/gen/rivera/bbs/v1/actual_lrp';
export { ListActualLrpsRequest } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
export {
  Cell,
  CellCapacity,
  CellPresence,
  CellState,
  RootFsProvider,
} from '@rivera/gen/rivera/bbs/v1/cell';
export {
  DesiredLrp,
  DesiredLrpUpdate,
  DesiredLrpView,
  MetricTags,
  RestartPolicy,
  Routes,
  UpdateStrategy,
} from '@rivera/gen/rivera/bbs/v1/desired_lrp';
export { ListDesiredLrpsRequest } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
export { Domain } from '@rivera/gen/rivera/bbs/v1/domain_service';
export {
  ActualLrpChanged,
  ActualLrpCrashed,
  ActualLrpCreated,
  ActualLrpRemoved,
  CellChanged,
  CellRemoved,
  DesiredLrpChanged,
  DesiredLrpCreated,
  DesiredLrpRemoved,
  Event,
  EventKind,
  TaskChanged,
  TaskCreated,
  TaskRemoved,
} from '@rivera/gen/rivera/bbs/v1/event';
export { SnapshotRecord } from '@rivera/gen/rivera/bbs/v1/event_service';
export { ModificationTag } from '@rivera/gen/rivera/bbs/v1/modification_tag';
export {
  PlacementObstacle,
  WorkRequirements,
} from '@rivera/gen/rivera/bbs/v1/placement';
export {
  Task,
  TaskCallback,
  TaskDefinition,
  TaskState,
} from '@rivera/gen/rivera/bbs/v1/task';
export {
  DesireTaskRequest,
  ListTasksRequest,
} from '@rivera/gen/rivera/bbs/v1/task_service';
export {
  Resource,
  ResourceType,
} from '@rivera/gen/rivera/locket/v1/locket_service';
export {
  Action,
  Check,
  CheckDefinition,
  CodependentAction,
  DownloadAction,
  EmitProgressAction,
  EnvironmentVariable,
  File,
  HttpCheck,
  ParallelAction,
  ResourceLimits,
  RunAction,
  SerialAction,
  TcpCheck,
  TimeoutAction,
  TryAction,
  UploadAction,
} from '@rivera/gen/rivera/recipe/v1/action';
export {
  CachedDependency,
  CertificateProperties,
  ContainerSpec,
  DedicatedDevice,
  IcmpInfo,
  ImageLayer,
  ImageLayer_DigestAlgorithm,
  ImageLayer_LayerType,
  ImageLayer_MediaType,
  LogRateLimit,
  MetricTagValue,
  MetricTagValue_DynamicValue,
  Network,
  PortRange,
  SecurityGroupRule,
  SharedDevice,
  Sidecar,
  VolumeMount,
} from '@rivera/gen/rivera/recipe/v1/container';
export {
  Container,
  ContainerMetrics,
  ContainerState,
  ContainerTarget,
  ExecExit,
  ExecStart,
  ExecStarted,
  InstanceTarget,
  LogEntry,
  LogFilter,
  LogStream,
  Terminal,
  WindowSize,
} from '@rivera/gen/rivera/rep/v1/container';
export { SshKey } from '@rivera/gen/rivera/ssh/v1/ssh_service';
